import { type MigrationInterface, type QueryRunner } from 'typeorm';

export class TriesOfBootStarts20261126035900 implements MigrationInterface {
  name = 'TriesOfBootStarts20261126035900';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "boot_start" ADD "tries" integer NOT NULL DEFAULT '0'`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "boot_start" DROP COLUMN "tries"`);
  }
}
