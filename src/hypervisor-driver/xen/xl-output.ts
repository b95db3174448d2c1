/** A domain as `xl list -v` shows it, whoever made it. */
export interface XenDomain {
  /** `(null)` for one that is being destroyed, or whose making was broken off. */
  readonly name: string;
  readonly domid: number;
  readonly uuid: string;
  readonly memoryMib: number;
  /** Those that it has online. */
  readonly vcpus: number;
  readonly paused: boolean;
  /** It is over and stands in memory until somebody destroys it; the number is why (Xen's SHUTDOWN_*). */
  readonly shutdown: number | null;
  /** It is being destroyed. */
  readonly dying: boolean;
}

// The name may hold anything. All else stands to its right, and the name takes as much as it can: columns in it do not count.
const LINE =
  /^(?<name>.*) +(?<domid>\d+) +(?<memory>\d+) +(?<vcpus>\d+) +(?<state>[r-][b-][p-][s-].[d-]) +[\d.]+ (?<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) +(?<reason>-|[0-9a-f]+)(?: |$)/;

/** What `xl list -v` prints. Throws when the headline is not the one known: then nothing below it may be believed. */
export function parseList(text: string): XenDomain[] {
  const [headline = '', ...lines] = text.split('\n');
  if (!/^Name +ID +Mem +VCPUs\s+State\s+Time\(s\) +UUID +Reason-Code/.test(headline))
    throw new Error(`This is no list of xl: ${headline.slice(0, 200)}`);
  const domains = lines.flatMap((line) => {
    // Somebody's name with a line break in it must not blind us to all the others.
    const found = LINE.exec(line)?.groups;
    if (!found) return [];
    const { name = '', domid, memory, vcpus, state = '', uuid = '', reason = '-' } = found;
    return {
      name: name.trimEnd(),
      domid: Number(domid),
      uuid,
      memoryMib: Number(memory),
      vcpus: Number(vcpus),
      paused: state[2] === 'p',
      shutdown: state[3] === 's' ? parseInt(reason === '-' ? '0' : reason, 16) : null,
      dying: state[5] === 'd',
    };
  });
  if (!domains.some(({ domid }) => domid === 0)) throw new Error('xl lists no domain 0.');
  return domains;
}

/** Of `xl info`, what a host is described by. */
export interface XenInfo {
  readonly version: string;
  readonly virtCaps: readonly string[];
  readonly cpuCount: number;
  readonly memoryBytes: number;
  readonly freeBytes: number;
}

export function parseInfo(text: string): XenInfo {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const found = /^(\w+) *: (.*)$/.exec(line);
    if (found) fields.set(found[1] ?? '', (found[2] ?? '').trim());
  }
  const field = (name: string): string => {
    const value = fields.get(name);
    if (value === undefined) throw new Error(`xl info does not say ${name}.`);
    return value;
  };
  const mebibytes = (name: string) => Number(field(name)) * 1024 * 1024;
  return {
    version: field('xen_version'),
    virtCaps: field('virt_caps').split(/\s+/).filter(Boolean),
    cpuCount: Number(field('nr_cpus')),
    memoryBytes: mebibytes('total_memory'),
    freeBytes: mebibytes('free_memory'),
  };
}
