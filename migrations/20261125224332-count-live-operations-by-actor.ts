import { type MigrationInterface, type QueryRunner } from 'typeorm';

export class CountLiveOperationsByActor20261125224332 implements MigrationInterface {
  name = 'CountLiveOperationsByActor20261125224332';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `CREATE INDEX "ix_operation_live_actor" ON "operation"  ("actor") WHERE ended_at is null`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX "public"."ix_operation_live_actor"`);
  }
}
