import { type MigrationInterface, type QueryRunner } from 'typeorm';

export class EndedOperations20261126032000 implements MigrationInterface {
  name = 'EndedOperations20261126032000';

  async up(runner: QueryRunner): Promise<void> {
    // No server has written such rows. If somebody has: locks and sweeps go by `ended_at`, so it is what counts.
    await runner.query(
      `UPDATE "operation" SET "state" = 'failed' WHERE "ended_at" IS NOT NULL AND "state" NOT IN ('succeeded','failed','cancelled')`,
    );
    await runner.query(
      `UPDATE "operation" SET "ended_at" = coalesce("started_at", "created_at") WHERE "ended_at" IS NULL AND "state" IN ('succeeded','failed','cancelled')`,
    );
    await runner.query(
      `ALTER TABLE "operation" ADD CONSTRAINT "ck_operation_ended_at" CHECK ((ended_at is not null) = (state in ('succeeded','failed','cancelled')))`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "operation" DROP CONSTRAINT "ck_operation_ended_at"`);
  }
}
