import { type MigrationInterface, type QueryRunner } from 'typeorm';

export class OperationOutlook20261125225442 implements MigrationInterface {
  name = 'OperationOutlook20261125225442';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "operation" ADD "progress_at" TIMESTAMP WITH TIME ZONE`);
    await runner.query(
      `CREATE INDEX "ix_operation_usual" ON "operation"  ("kind", "ended_at") WHERE state = 'succeeded'`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX "public"."ix_operation_usual"`);
    await runner.query(`ALTER TABLE "operation" DROP COLUMN "progress_at"`);
  }
}
