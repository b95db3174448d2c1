import { type MigrationInterface, type QueryRunner } from 'typeorm';

export class RetiredDomains20261125223424 implements MigrationInterface {
  name = 'RetiredDomains20261125223424';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `CREATE TABLE "retired_domain" ("id" uuid NOT NULL, "generation" integer NOT NULL, "at" TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(), CONSTRAINT "pk_retired_domain" PRIMARY KEY ("id"))`,
    );
    // Until now the operation that deleted a domain was what remembered its generation.
    await runner.query(
      `INSERT INTO "retired_domain" ("id", "generation", "at")
       SELECT target_id, max((input->'plan'->>'generation')::int), max(ended_at) FROM operation
       WHERE kind = 'domain.delete' AND state = 'succeeded' AND (input->'plan'->>'generation')::int > 0 GROUP BY target_id`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE "retired_domain"`);
  }
}
