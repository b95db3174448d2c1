import { type MigrationInterface, type QueryRunner } from 'typeorm';

export class OvertakenGuests20261126040900 implements MigrationInterface {
  name = 'OvertakenGuests20261126040900';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `CREATE TABLE "overtaken_guest" ("host_id" uuid NOT NULL, "domain_id" uuid NOT NULL, "generation" integer NOT NULL, "state" text NOT NULL, "reaction" text NOT NULL, "why" text, "found_at" TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(), CONSTRAINT "ck_overtaken_guest_reaction" CHECK (reaction in ('ending','left')), CONSTRAINT "pk_overtaken_guest" PRIMARY KEY ("host_id", "domain_id"))`,
    );
    await runner.query(`CREATE INDEX "ix_overtaken_guest_domain_id" ON "overtaken_guest"  ("domain_id") `);
    await runner.query(
      `ALTER TABLE "overtaken_guest" ADD CONSTRAINT "fk_overtaken_guest_host_id" FOREIGN KEY ("host_id") REFERENCES "host"("id") ON DELETE CASCADE ON UPDATE NO ACTION`,
    );
    await runner.query(
      `ALTER TABLE "overtaken_guest" ADD CONSTRAINT "fk_overtaken_guest_domain_id" FOREIGN KEY ("domain_id") REFERENCES "domain"("id") ON DELETE CASCADE ON UPDATE NO ACTION`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "overtaken_guest" DROP CONSTRAINT "fk_overtaken_guest_domain_id"`);
    await runner.query(`ALTER TABLE "overtaken_guest" DROP CONSTRAINT "fk_overtaken_guest_host_id"`);
    await runner.query(`DROP INDEX "public"."ix_overtaken_guest_domain_id"`);
    await runner.query(`DROP TABLE "overtaken_guest"`);
  }
}
