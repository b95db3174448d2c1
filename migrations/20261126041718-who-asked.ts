import { type MigrationInterface, type QueryRunner } from 'typeorm';

export class WhoAsked20261126041718 implements MigrationInterface {
  name = 'WhoAsked20261126041718';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "event" ADD "actor" text`);
    await runner.query(`ALTER TABLE "event" ADD "trace_id" text`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "event" DROP COLUMN "trace_id"`);
    await runner.query(`ALTER TABLE "event" DROP COLUMN "actor"`);
  }
}
