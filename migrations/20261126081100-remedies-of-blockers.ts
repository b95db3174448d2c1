import { type MigrationInterface, type QueryRunner } from 'typeorm';

export class RemediesOfBlockers20261126081100 implements MigrationInterface {
  name = 'RemediesOfBlockers20261126081100';

  /** What was kept of refusals is shown as it is, and a blocker has its remedies by now: of an old one nobody knows any. */
  async up(runner: QueryRunner): Promise<void> {
    for (const [table, column, path] of [
      ['operation', 'error', '{blockers}'],
      ['operation', 'turned_back', '{error,blockers}'],
      ['operation_step', 'error', '{blockers}'],
      ['boot_start', 'problem', '{blockers}'],
    ])
      await runner.query(
        `UPDATE "${table}" SET "${column}" = jsonb_set("${column}", '${path}', (SELECT jsonb_agg('{"remedies": []}'::jsonb || b)
           FROM jsonb_array_elements("${column}" #> '${path}') b))
          WHERE jsonb_typeof("${column}" #> '${path}') = 'array' AND "${column}" #> '${path}' <> '[]'`,
      );
  }

  async down(): Promise<void> {
    // Who does not know the field does not mind it.
  }
}
