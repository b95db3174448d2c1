import { type Pool } from 'pg';
import { rowsFrom, type Statement } from '../database/statement.js';

/** How long each step of a kind usually takes, in milliseconds, by name. Empty: nobody knows. */
export type StepTimes = ReadonlyMap<string, number>;

/** Of how many successful operations of the kind: the newest, since hosts and guests change. */
const RECENT = 20;
const KEPT_MS = 60_000;

/** The middle duration, so that one that waited for a host weighs nothing; less for a step that few of them needed. */
const usual: Statement = {
  name: 'operation_step_times',
  text: `with recent as (
      select id from operation where kind = $1 and state = 'succeeded' order by ended_at desc limit ${RECENT}
    )
    select s.name, (percentile_cont(0.5) within group (order by extract(epoch from s.ended_at - s.started_at))
        * 1000 * count(*) / (select count(*) from recent))::float8 as ms
      from recent r join operation_step s on s.operation_id = r.id
      where s.state = 'done' and s.ended_at is not null group by s.name`,
};

/** What the steps of each kind took lately. Looked up once a minute for each kind that this process runs. */
export class StepHistory {
  private readonly known = new Map<string, { readonly at: number; readonly times: Promise<StepTimes> }>();

  constructor(
    private readonly pool: Pool,
    private readonly now: () => number,
  ) {}

  /** Never rejects: without a database nobody knows. */
  of(kind: string): Promise<StepTimes> {
    const known = this.known.get(kind);
    if (known && this.now() - known.at < KEPT_MS) return known.times;
    const times = rowsFrom<{ name: string; ms: number }>(this.pool, usual, [kind]).then(
      (rows) => new Map(rows.map(({ name, ms }) => [name, ms])),
      () => new Map<string, number>(),
    );
    this.known.set(kind, { at: this.now(), times });
    return times;
  }
}
