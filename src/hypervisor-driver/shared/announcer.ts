import { type ObservedDomain } from '../../agent-contract/index.js';
import { type DomainListener } from '../driver.js';

/**
 * Remembers the last word on each domain and tells listeners only what is new. `since` moves when the state does, and never
 * back within a generation, though the clock be set: whoever listens puts words in order by it.
 */
export class Announcer {
  private readonly listeners = new Set<DomainListener>();
  private readonly last = new Map<string, ObservedDomain>();

  constructor(private readonly now: () => Date) {}

  get(domainId: string): ObservedDomain | undefined {
    return this.last.get(domainId);
  }

  /** Records what is seen now, and tells it if anything changed. `since` says when the state began, if that is known. */
  see(seen: Omit<ObservedDomain, 'since'>, since?: string): ObservedDomain {
    const before = this.last.get(seen.id);
    if (before && sameWord(before, seen)) return before;
    const kept = before?.state === seen.state && before.generation === seen.generation;
    const moved = since ?? this.now().toISOString();
    const earliest = before?.generation === seen.generation ? before.since : moved;
    const later = Date.parse(moved) < Date.parse(earliest) ? earliest : moved;
    const observed = { ...seen, since: kept ? before.since : later };
    this.last.set(seen.id, observed);
    for (const listener of [...this.listeners]) listener(observed);
    return observed;
  }

  drop(domainId: string): void {
    this.last.delete(domainId);
  }

  onChange(listener: DomainListener): () => void {
    // Wrapped, so that the same function given twice is told twice and ended separately.
    const own: DomainListener = (domain) => listener(domain);
    this.listeners.add(own);
    return () => void this.listeners.delete(own);
  }

  silence(): void {
    this.listeners.clear();
  }
}

const sameWord = (a: ObservedDomain, b: Omit<ObservedDomain, 'since'>): boolean =>
  a.generation === b.generation && a.state === b.state && a.pid === b.pid && a.reason === b.reason;
