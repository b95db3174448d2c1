import { createSecureContext, type SecureContext } from 'node:tls';
import { type DataSource, type EntityManager } from 'typeorm';
import { enrolmentServerName } from '../agent-contract/index.js';
import {
  type Authority,
  fingerprint,
  importAuthorityKey,
  issueCertificate,
  makeAuthority,
  makeKey,
  SERVER_LIFE_MS,
} from './certificates.js';
import { seal, unseal } from './sealed-key.js';

/** What this process shows to agents: its own certificate of one pool's CA, in memory only. */
export interface ServerIdentity {
  readonly key: string;
  readonly certificate: string;
  readonly ca: string;
}

interface Known {
  readonly poolId: string;
  readonly authority: Authority;
  readonly fingerprint: string;
  readonly serverName: string;
  server: { identity: ServerIdentity; context: SecureContext; renewAt: number } | null;
}

interface Row {
  pool_id: string;
  certificate: string;
  sealed_key: Buffer;
}

const RELOAD_AT_MOST_EVERY_MS = 1_000;

/** The certificate authority of each pool. Its key leaves the database only unsealed and into memory. */
export class CertificateAuthorities {
  private readonly byPool = new Map<string, Known>();
  private loadedAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly dataSource: DataSource,
    private readonly secretKey: Buffer,
    private readonly now: () => number = Date.now,
  ) {}

  /** Makes the CA of a pool, in the transaction that makes the pool. */
  async create(manager: EntityManager, poolId: string): Promise<void> {
    const { certificate, key } = await makeAuthority(poolId, new Date(this.now()));
    await manager.query('insert into pool_authority (pool_id, certificate, sealed_key) values ($1, $2, $3)', [
      poolId,
      certificate,
      seal(this.secretKey, poolId, key),
    ]);
  }

  /** Null when there is no such pool. */
  async of(poolId: string): Promise<Pick<Known, 'poolId' | 'authority' | 'fingerprint'> | null> {
    return this.byPool.get(poolId) ?? this.load(poolId);
  }

  /** What this process shows to the pool's agents, and to its future ones on the enrolment listener. */
  async serverIdentity(poolId: string): Promise<ServerIdentity | null> {
    const known = this.byPool.get(poolId) ?? (await this.load(poolId));
    return known ? (await this.server(known)).identity : null;
  }

  /** The pool that an agent means by the name it asks for in the handshake. */
  async contextFor(serverName: string): Promise<SecureContext | null> {
    let known = this.named(serverName);
    if (!known && this.now() - this.loadedAt >= RELOAD_AT_MOST_EVERY_MS) {
      this.loadedAt = this.now();
      const rows = await this.dataSource.query<{ pool_id: string }[]>('select pool_id from pool_authority');
      for (const row of rows) if (!this.byPool.has(row.pool_id)) await this.load(row.pool_id);
      known = this.named(serverName);
    }
    return known ? (await this.server(known)).context : null;
  }

  private named(serverName: string): Known | undefined {
    return [...this.byPool.values()].find((known) => known.serverName === serverName);
  }

  private async load(poolId: string): Promise<Known | null> {
    const [row] = await this.dataSource.query<Row[]>(
      'select pool_id, certificate, sealed_key from pool_authority where pool_id = $1',
      [poolId],
    );
    if (!row) return null;
    const key = await importAuthorityKey(unseal(this.secretKey, poolId, row.sealed_key));
    const print = fingerprint(row.certificate);
    const known: Known = {
      poolId,
      authority: { certificate: row.certificate, key },
      fingerprint: print,
      serverName: enrolmentServerName(print),
      server: null,
    };
    this.byPool.set(poolId, known);
    return known;
  }

  private async server(known: Known): Promise<NonNullable<Known['server']>> {
    if (known.server && this.now() < known.server.renewAt) return known.server;
    const { key, publicKey } = makeKey();
    const certificate = await issueCertificate(
      known.authority,
      { publicKey, identity: { role: 'server' }, lifeMs: SERVER_LIFE_MS, dnsName: known.serverName },
      new Date(this.now()),
    );
    const ca = known.authority.certificate;
    known.server = {
      identity: { key, certificate, ca },
      context: createSecureContext({ key, cert: certificate + '\n' + ca, ca, minVersion: 'TLSv1.3' }),
      renewAt: this.now() + (SERVER_LIFE_MS * 2) / 3,
    };
    return known.server;
  }
}
