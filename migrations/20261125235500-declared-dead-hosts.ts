import { type MigrationInterface, type QueryRunner } from 'typeorm';

export class DeclaredDeadHosts20261125235500 implements MigrationInterface {
  name = 'DeclaredDeadHosts20261125235500';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "host" ADD "returned_epoch" integer`);
    await runner.query(`ALTER TABLE "host" DROP CONSTRAINT "ck_host_state"`);
    await runner.query(
      `ALTER TABLE "host" ADD CONSTRAINT "ck_host_state" CHECK (state in ('enrolled','online','offline','dead'))`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`UPDATE "host" SET "state" = 'offline' WHERE "state" = 'dead'`);
    await runner.query(`ALTER TABLE "host" DROP CONSTRAINT "ck_host_state"`);
    await runner.query(
      `ALTER TABLE "host" ADD CONSTRAINT "ck_host_state" CHECK (state in ('enrolled','online','offline'))`,
    );
    await runner.query(`ALTER TABLE "host" DROP COLUMN "returned_epoch"`);
  }
}
