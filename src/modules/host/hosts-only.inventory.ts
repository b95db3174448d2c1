import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { type HostFacts } from '../../agent-contract/index.js';
import { InventorySink } from '../../host-link/host-link.js';
import { recordHostFacts, recordHostLost } from './host.inventory.js';

/** Keeps hosts alone: for a server without the domain module, whose inventory keeps both. */
@Injectable()
export class HostsOnlyInventory extends InventorySink {
  constructor(private readonly source: DataSource) {
    super();
  }
  override snapshot(hostId: string, { facts }: { facts: HostFacts }): Promise<void> {
    return this.source.transaction((tx) => recordHostFacts(tx, hostId, facts));
  }
  override delta(hostId: string, { facts }: { facts: HostFacts | null }): Promise<void> {
    return this.source.transaction((tx) => recordHostFacts(tx, hostId, facts));
  }
  override lost(hostId: string): Promise<void> {
    return this.source.transaction((tx) => recordHostLost(tx, hostId));
  }
}
