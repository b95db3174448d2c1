import { type MigrationInterface, type QueryRunner } from 'typeorm';

export class AbandonedVolumes20261126081000 implements MigrationInterface {
  name = 'AbandonedVolumes20261126081000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "volume" DROP CONSTRAINT "ck_volume_state"`);
    await runner.query(
      `ALTER TABLE "volume" ADD CONSTRAINT "ck_volume_state" CHECK (state in ('creating','ready','missing','deleting','abandoned'))`,
    );
    await runner.query(
      `CREATE INDEX "ix_volume_abandoned" ON "volume"  ("repository_id") WHERE state = 'abandoned'`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX "public"."ix_volume_abandoned"`);
    await runner.query(`ALTER TABLE "volume" DROP CONSTRAINT "ck_volume_state"`);
    await runner.query(
      `ALTER TABLE "volume" ADD CONSTRAINT "ck_volume_state" CHECK (state in ('creating','ready','missing','deleting'))`,
    );
  }
}
