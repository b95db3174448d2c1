import { type MigrationInterface, type QueryRunner } from 'typeorm';

export class Reconciliation20261125225149 implements MigrationInterface {
  name = 'Reconciliation20261125225149';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `CREATE TABLE "repair" ("domain_id" uuid NOT NULL, "action" text NOT NULL, "tries" integer NOT NULL DEFAULT '0', "due_at" TIMESTAMP WITH TIME ZONE, "tried_at" TIMESTAMP WITH TIME ZONE, "operation_id" uuid, CONSTRAINT "ck_repair_action" CHECK (action in ('start','force_off','pause','resume')), CONSTRAINT "pk_repair" PRIMARY KEY ("domain_id"))`,
    );
    await runner.query(`CREATE INDEX "ix_repair_due" ON "repair"  ("due_at") WHERE due_at is not null`);
    await runner.query(
      `CREATE TABLE "host_boot" ("host_id" uuid NOT NULL, "boot_id" text NOT NULL, "operation_id" uuid, "at" TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(), CONSTRAINT "pk_host_boot" PRIMARY KEY ("host_id", "boot_id"))`,
    );
    await runner.query(
      `CREATE TABLE "boot_start" ("host_id" uuid NOT NULL, "boot_id" text NOT NULL, "domain_id" uuid NOT NULL, "place" integer NOT NULL, "delay_seconds" integer NOT NULL, "operation_id" uuid, "ended_at" TIMESTAMP WITH TIME ZONE, "problem" jsonb, CONSTRAINT "pk_boot_start" PRIMARY KEY ("host_id", "boot_id", "domain_id"))`,
    );
    await runner.query(`CREATE INDEX "ix_boot_start_domain_id" ON "boot_start"  ("domain_id") `);
    await runner.query(`ALTER TABLE "domain" ADD "autostart_policy" text NOT NULL DEFAULT 'as_before'`);
    await runner.query(`ALTER TABLE "domain" ADD "autostart_order" integer NOT NULL DEFAULT '0'`);
    await runner.query(`ALTER TABLE "domain" ADD "autostart_delay_seconds" integer NOT NULL DEFAULT '0'`);
    await runner.query(`ALTER TABLE "domain" ADD "on_crash" text NOT NULL DEFAULT 'halt'`);
    await runner.query(`ALTER TABLE "domain" ADD "on_reboot" text NOT NULL DEFAULT 'reboot'`);
    await runner.query(`ALTER TABLE "domain" ADD "desired_state" text NOT NULL DEFAULT 'halted'`);
    await runner.query(`ALTER TABLE "domain" ADD "lost_at" TIMESTAMP WITH TIME ZONE`);
    await runner.query(`ALTER TABLE "pool" ADD "out_of_band" jsonb NOT NULL DEFAULT '{}'`);
    await runner.query(
      `ALTER TABLE "domain" ADD CONSTRAINT "ck_domain_on_reboot" CHECK (on_reboot in ('reboot','halt'))`,
    );
    await runner.query(
      `ALTER TABLE "domain" ADD CONSTRAINT "ck_domain_on_crash" CHECK (on_crash in ('halt','restart'))`,
    );
    await runner.query(
      `ALTER TABLE "domain" ADD CONSTRAINT "ck_domain_autostart_policy" CHECK (autostart_policy in ('always','as_before','never'))`,
    );
    await runner.query(
      `ALTER TABLE "domain" ADD CONSTRAINT "ck_domain_desired_state" CHECK (desired_state in ('halted','running','paused'))`,
    );
    await runner.query(`ALTER TABLE "volume" DROP CONSTRAINT "ck_volume_state"`);
    await runner.query(
      `ALTER TABLE "volume" ADD CONSTRAINT "ck_volume_state" CHECK (state in ('creating','ready','missing','deleting'))`,
    );
    // What runs was asked to: nothing that was there before is taken for a change behind our back.
    await runner.query(
      `UPDATE "domain" SET desired_state = CASE WHEN state = 'paused' THEN 'paused' WHEN state IN ('running', 'unknown') THEN 'running' ELSE 'halted' END`,
    );
    await runner.query(
      `ALTER TABLE "repair" ADD CONSTRAINT "fk_repair_domain_id" FOREIGN KEY ("domain_id") REFERENCES "domain"("id") ON DELETE CASCADE ON UPDATE NO ACTION`,
    );
    await runner.query(
      `ALTER TABLE "host_boot" ADD CONSTRAINT "fk_host_boot_host_id" FOREIGN KEY ("host_id") REFERENCES "host"("id") ON DELETE CASCADE ON UPDATE NO ACTION`,
    );
    await runner.query(
      `ALTER TABLE "boot_start" ADD CONSTRAINT "fk_boot_start_host_id" FOREIGN KEY ("host_id") REFERENCES "host"("id") ON DELETE CASCADE ON UPDATE NO ACTION`,
    );
    await runner.query(
      `ALTER TABLE "boot_start" ADD CONSTRAINT "fk_boot_start_domain_id" FOREIGN KEY ("domain_id") REFERENCES "domain"("id") ON DELETE CASCADE ON UPDATE NO ACTION`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "volume" DROP CONSTRAINT "ck_volume_state"`);
    await runner.query(
      `ALTER TABLE "volume" ADD CONSTRAINT "ck_volume_state" CHECK (state in ('creating','ready','deleting'))`,
    );
    await runner.query(`ALTER TABLE "boot_start" DROP CONSTRAINT "fk_boot_start_domain_id"`);
    await runner.query(`ALTER TABLE "boot_start" DROP CONSTRAINT "fk_boot_start_host_id"`);
    await runner.query(`ALTER TABLE "host_boot" DROP CONSTRAINT "fk_host_boot_host_id"`);
    await runner.query(`ALTER TABLE "repair" DROP CONSTRAINT "fk_repair_domain_id"`);
    await runner.query(`ALTER TABLE "domain" DROP CONSTRAINT "ck_domain_desired_state"`);
    await runner.query(`ALTER TABLE "domain" DROP CONSTRAINT "ck_domain_autostart_policy"`);
    await runner.query(`ALTER TABLE "domain" DROP CONSTRAINT "ck_domain_on_crash"`);
    await runner.query(`ALTER TABLE "domain" DROP CONSTRAINT "ck_domain_on_reboot"`);
    await runner.query(`ALTER TABLE "pool" DROP COLUMN "out_of_band"`);
    await runner.query(`ALTER TABLE "domain" DROP COLUMN "lost_at"`);
    await runner.query(`ALTER TABLE "domain" DROP COLUMN "desired_state"`);
    await runner.query(`ALTER TABLE "domain" DROP COLUMN "on_reboot"`);
    await runner.query(`ALTER TABLE "domain" DROP COLUMN "on_crash"`);
    await runner.query(`ALTER TABLE "domain" DROP COLUMN "autostart_delay_seconds"`);
    await runner.query(`ALTER TABLE "domain" DROP COLUMN "autostart_order"`);
    await runner.query(`ALTER TABLE "domain" DROP COLUMN "autostart_policy"`);
    await runner.query(`DROP INDEX "public"."ix_boot_start_domain_id"`);
    await runner.query(`DROP TABLE "boot_start"`);
    await runner.query(`DROP TABLE "host_boot"`);
    await runner.query(`DROP INDEX "public"."ix_repair_due"`);
    await runner.query(`DROP TABLE "repair"`);
  }
}
