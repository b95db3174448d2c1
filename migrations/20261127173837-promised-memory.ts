import { type MigrationInterface, type QueryRunner } from 'typeorm';

export class PromisedMemory20261127173837 implements MigrationInterface {
  name = 'PromisedMemory20261127173837';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "host" ADD "promised_memory_bytes" bigint NOT NULL DEFAULT '0'`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "host" DROP COLUMN "promised_memory_bytes"`);
  }
}
