import { type MigrationInterface, type QueryRunner } from 'typeorm';

export class ExecutorRights20261126040800 implements MigrationInterface {
  name = 'ExecutorRights20261126040800';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `CREATE TABLE "executor" ("repository_id" uuid NOT NULL, "host_id" uuid, "host_epoch" integer NOT NULL, "generation" bigint NOT NULL, "leaving" boolean NOT NULL DEFAULT false, "since" TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(), CONSTRAINT "pk_executor" PRIMARY KEY ("repository_id"))`,
    );
    await runner.query(`CREATE INDEX "ix_executor_host_id" ON "executor"  ("host_id") `);
    await runner.query(
      `ALTER TABLE "executor" ADD CONSTRAINT "fk_executor_repository_id" FOREIGN KEY ("repository_id") REFERENCES "storage_repository"("id") ON DELETE CASCADE ON UPDATE NO ACTION`,
    );
    await runner.query(
      `ALTER TABLE "executor" ADD CONSTRAINT "fk_executor_host_id" FOREIGN KEY ("host_id") REFERENCES "host"("id") ON DELETE SET NULL ON UPDATE NO ACTION`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "executor" DROP CONSTRAINT "fk_executor_host_id"`);
    await runner.query(`ALTER TABLE "executor" DROP CONSTRAINT "fk_executor_repository_id"`);
    await runner.query(`DROP INDEX "public"."ix_executor_host_id"`);
    await runner.query(`DROP TABLE "executor"`);
  }
}
