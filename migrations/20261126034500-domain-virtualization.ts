import { type MigrationInterface, type QueryRunner } from 'typeorm';

export class DomainVirtualization20261126034500 implements MigrationInterface {
  name = 'DomainVirtualization20261126034500';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "domain" ADD "virtualization" text NOT NULL DEFAULT 'auto'`);
    await runner.query(
      `ALTER TABLE "domain" ADD CONSTRAINT "ck_domain_virtualization" CHECK (virtualization in ('auto','hvm','pvh','pv'))`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "domain" DROP CONSTRAINT "ck_domain_virtualization"`);
    await runner.query(`ALTER TABLE "domain" DROP COLUMN "virtualization"`);
  }
}
