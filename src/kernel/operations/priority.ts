/**
 * How urgent a kind of operation is, from -100 to 100, higher first. It decides between operations that wait: for a worker, in
 * the queue and in this process; and for an object, where each point is a second of seniority: an urgent one goes before
 * ordinary ones that came up to 100 s earlier, and background work lets those pass that come up to 100 s later. Who has waited
 * longer than that is first whatever comes, so nobody starves. A priority never interrupts what runs.
 */
export const priorities = {
  /** For what sets things right, and is quickly done: `domain.force_off`. A place is kept for it where all others are taken. */
  urgent: 100,
  ordinary: 0,
  /** Nobody waits for it: what the server does of its own accord. */
  background: -100,
} as const;

/** SQL: when the operation `o` came, as far as its turn is concerned. A constant of the row, so that the order never changes. */
export const seniorSinceSql = (o: string): string =>
  `(${o}.created_at - ${o}.priority * interval '1 second')`;

/** A publication in vain is worth so much: background work that a busy queue kept from workers is ordinary after a minute and a half. */
const AGING = 20;

/** SQL: the priority of an outbox row `b` in the queue. It rises with each publication in vain, but never to that of what is urgent. */
export const queuePrioritySql = (b: string): string =>
  `(select least(greatest(o.priority, ${priorities.urgent - 1}), o.priority + ${AGING} * (${b}.publication - 1))
    from operation o where o.id = ${b}.operation_id)`;
