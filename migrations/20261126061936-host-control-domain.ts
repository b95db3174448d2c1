import { type MigrationInterface, type QueryRunner } from 'typeorm';

export class HostControlDomain20261126061936 implements MigrationInterface {
  name = 'HostControlDomain20261126061936';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "host" ADD "virt_caps" jsonb NOT NULL DEFAULT '[]'`);
    await runner.query(`ALTER TABLE "host" ADD "control_domain" jsonb`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "host" DROP COLUMN "control_domain"`);
    await runner.query(`ALTER TABLE "host" DROP COLUMN "virt_caps"`);
  }
}
