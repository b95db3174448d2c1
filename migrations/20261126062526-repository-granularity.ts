import { type MigrationInterface, type QueryRunner } from 'typeorm';

export class RepositoryGranularity20261126062526 implements MigrationInterface {
  name = 'RepositoryGranularity20261126062526';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `ALTER TABLE "storage_repository" ADD "granularity_bytes" bigint NOT NULL DEFAULT '512'`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "storage_repository" DROP COLUMN "granularity_bytes"`);
  }
}
