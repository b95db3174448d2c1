import { type MigrationInterface, type QueryRunner } from 'typeorm';

export class TurningBack20261125224038 implements MigrationInterface {
  name = 'TurningBack20261125224038';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "object_lock" ADD "under" uuid`);
    // A child's lock stands under its parent's.
    await runner.query(`DROP INDEX "public"."uq_object_lock_exclusive"`);
    await runner.query(
      `CREATE UNIQUE INDEX "uq_object_lock_exclusive" ON "object_lock" ("object_type", "object_id") WHERE mode = 'exclusive' and granted and under is null`,
    );
    await runner.query(`ALTER TABLE "operation" ADD "turned_back" jsonb`);
    await runner.query(`ALTER TABLE "operation" ADD "attend_at" TIMESTAMP WITH TIME ZONE`);
    await runner.query(`ALTER TABLE "operation" ADD "attends" integer NOT NULL DEFAULT '0'`);
    await runner.query(
      `CREATE INDEX "ix_operation_attend" ON "operation"  ("attend_at") WHERE attend_at is not null`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX "public"."ix_operation_attend"`);
    await runner.query(`ALTER TABLE "operation" DROP COLUMN "attends"`);
    await runner.query(`ALTER TABLE "operation" DROP COLUMN "attend_at"`);
    await runner.query(`ALTER TABLE "operation" DROP COLUMN "turned_back"`);
    await runner.query(`DROP INDEX "public"."uq_object_lock_exclusive"`);
    await runner.query(`ALTER TABLE "object_lock" DROP COLUMN "under"`);
    await runner.query(
      `CREATE UNIQUE INDEX "uq_object_lock_exclusive" ON "object_lock" ("object_type", "object_id") WHERE mode = 'exclusive' and granted`,
    );
  }
}
