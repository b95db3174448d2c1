import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import { type DataSource, type EntityManager, QueryFailedError } from 'typeorm';
import {
  type EnrolAnswer,
  type enrolInput,
  enrolmentRefused,
  formatEnrolmentToken,
  hostAddressRefused,
  hostExists,
  readIdentity,
  renewalRefused,
  type renewInput,
} from '../agent-contract/index.js';
import { type z } from 'zod';
import { newId } from '../kernel/schema/values.js';
import { insideNetworks, readAddress } from './agent-networks.js';
import { type CertificateAuthorities } from './certificate-authorities.js';
import { HOST_LIFE_MS, issueCertificate, keyHash, keyOfRequest } from './certificates.js';

export interface EnrolledHost {
  readonly hostId: string;
  readonly poolId: string;
  readonly name: string;
  readonly address: string;
}

/** Told by enrolment, in its own transaction: the host module writes its event and its audit line there. */
export abstract class EnrolmentSink {
  abstract enrolled(manager: EntityManager, host: EnrolledHost): Promise<void>;
  /** The host listens elsewhere now. */
  abstract moved(manager: EntityManager, host: EnrolledHost): Promise<void>;
}

export interface MintedToken {
  readonly id: string;
  /** Shown once; only the SHA-256 of its secret is kept. */
  readonly token: string;
  readonly expiresAt: Date;
}

const UNIQUE_VIOLATION = '23505';

/** Lets hosts into pools: one-time tokens, their use, and the renewal of what they got. */
export class Enrolment {
  constructor(
    private readonly dataSource: DataSource,
    private readonly authorities: CertificateAuthorities,
    private readonly sink: EnrolmentSink,
  ) {}

  /** A token for one host of the pool; null when there is no such pool. With `hostName`, only a host of that name may use it. */
  async mintEnrolmentToken(
    poolId: string,
    options: { hostName?: string | undefined; ttlSeconds: number },
    manager: EntityManager = this.dataSource.manager,
  ): Promise<MintedToken | null> {
    const authority = await this.authorities.of(poolId);
    if (!authority) return null;
    const secret = randomBytes(32).toString('base64url');
    const id = newId();
    const [row] = await manager.query<{ expires_at: Date }[]>(
      `insert into enrolment_token (id, pool_id, secret_hash, host_name, expires_at)
       values ($1, $2, $3, $4, now() + make_interval(secs => $5)) returning expires_at`,
      [id, poolId, hashOf(secret), options.hostName ?? null, options.ttlSeconds],
    );
    if (!row) throw new Error('An insert returned no row.');
    const token = formatEnrolmentToken({ caFingerprint: authority.fingerprint, secret });
    return { id, token, expiresAt: row.expires_at };
  }

  /** Uses a token up and makes the host. Of any number of concurrent uses exactly one wins. */
  async enrol(input: z.output<typeof enrolInput>): Promise<EnrolAnswer> {
    const publicKey = await keyOfRequest(input.csr);
    if (!publicKey)
      throw enrolmentRefused('The certificate request is not signed by a P-256 key of its own.');
    const host = await this.dataSource.transaction(async (manager) => {
      const hostId = newId();
      const token = await useToken(manager, hashOf(input.secret), hostId);
      if (!token) return enrolledBefore(manager, hashOf(input.secret), keyHash(publicKey));
      if (token.host_name !== null && token.host_name !== input.hostName)
        throw enrolmentRefused('The token is for a host of another name.');
      await refuseAddress(manager, token.pool_id, input.address);
      await insertHost(manager, {
        hostId,
        poolId: token.pool_id,
        name: input.hostName,
        address: input.address,
        keyHash: keyHash(publicKey),
      });
      const { hostName: name, address } = input;
      await this.sink.enrolled(manager, { hostId, poolId: token.pool_id, name, address });
      return { id: hostId, pool_id: token.pool_id, epoch: 1 };
    });
    return this.certify(host, publicKey);
  }

  /**
   * A new certificate for the holder of `present`, which may have run out: for that key only, and for its epoch. The TLS
   * handshake has proved the key. A host that was declared dead keeps its older epoch until it has been brought up to date,
   * which it may be with a certificate of that epoch alone; then it gets one for the new epoch.
   */
  async renew(present: X509Certificate, input: z.output<typeof renewInput>): Promise<EnrolAnswer> {
    const identity = readIdentity(present.subjectAltName);
    if (identity?.role !== 'host') throw renewalRefused('The certificate speaks for no host.');
    const [host] = await this.dataSource.query<HostRow[]>(
      `select id, pool_id, name, epoch, key_hash, address, fenced_at is not null as dead, returned_epoch
         from host where id = $1`,
      [identity.hostId],
    );
    const authority = host ? await this.authorities.of(host.pool_id) : null;
    const publicKey = present.publicKey.export({ type: 'spki', format: 'der' });
    if (!host || !authority || !signedBy(present, authority.authority.certificate))
      throw renewalRefused('The certificate is not of this pool.');
    const mayHaveEpoch = identity.epoch === host.epoch || (identity.epoch < host.epoch && host.dead);
    if (!mayHaveEpoch || !host.key_hash.equals(keyHash(publicKey)))
      throw renewalRefused('The host has another key or epoch now.');
    const epoch = host.returned_epoch === host.epoch ? host.epoch : identity.epoch;
    if (host.address !== input.address)
      await this.dataSource.transaction(async (manager) => {
        await refuseAddress(manager, host.pool_id, input.address);
        await manager.query('update host set address = $2, updated_at = now() where id = $1', [
          host.id,
          input.address,
        ]);
        const { id: hostId, pool_id: poolId, name } = host;
        await this.sink.moved(manager, { hostId, poolId, name, address: input.address });
      });
    return this.certify({ ...host, epoch }, publicKey);
  }

  private async certify(
    host: { id: string; pool_id: string; epoch: number },
    publicKey: Buffer,
  ): Promise<EnrolAnswer> {
    const found = await this.authorities.of(host.pool_id);
    if (!found) throw new Error('A pool has hosts and no certificate authority.');
    const { authority } = found;
    const certificate = await issueCertificate(authority, {
      publicKey,
      identity: { role: 'host', hostId: host.id, epoch: host.epoch },
      lifeMs: HOST_LIFE_MS,
    });
    return {
      hostId: host.id,
      hostEpoch: host.epoch,
      poolId: host.pool_id,
      certificate,
      ca: authority.certificate,
    };
  }
}

interface HostRow {
  id: string;
  pool_id: string;
  name: string;
  epoch: number;
  key_hash: Buffer;
  address: string;
  /** It was declared dead, and has not come back yet. */
  dead: boolean;
  /** The epoch up to which its agent was brought up to date. */
  returned_epoch: number | null;
}

const hashOf = (secret: string): Buffer => createHash('sha256').update(secret).digest();

async function useToken(manager: EntityManager, secretHash: Buffer, hostId: string) {
  // TypeORM answers an update with [rows, count].
  const [rows] = await manager.query<[{ pool_id: string; host_name: string | null }[], number]>(
    `update enrolment_token set used_at = now(), host_id = $2
     where secret_hash = $1 and used_at is null and expires_at > now()
     returning pool_id, host_name`,
    [secretHash, hostId],
  );
  return rows[0] ?? null;
}

/** An agent that enrolled and was killed before it had read the answer asks again with the same key, and gets it. */
async function enrolledBefore(
  manager: EntityManager,
  secretHash: Buffer,
  key: Buffer,
): Promise<{ id: string; pool_id: string; epoch: number }> {
  const [host] = await manager.query<{ id: string; pool_id: string; epoch: number }[]>(
    `select host.id, host.pool_id, host.epoch from enrolment_token token join host on host.id = token.host_id
     where token.secret_hash = $1 and token.expires_at > now() and host.key_hash = $2`,
    [secretHash, key],
  );
  if (!host) throw enrolmentRefused('The token is unknown, used or out of date.');
  return host;
}

async function refuseAddress(manager: EntityManager, poolId: string, address: string): Promise<void> {
  const [pool] = await manager.query<{ agent_networks: string[] }[]>(
    'select agent_networks from pool where id = $1',
    [poolId],
  );
  const parsed = readAddress(address);
  if (!parsed || !pool || !insideNetworks(parsed.host, pool.agent_networks))
    throw hostAddressRefused(`The pool does not allow an agent at ${address}.`);
}

async function insertHost(
  manager: EntityManager,
  host: { hostId: string; poolId: string; name: string; address: string; keyHash: Buffer },
): Promise<void> {
  try {
    await manager.query(
      'insert into host (id, pool_id, name, address, key_hash) values ($1, $2, $3, $4, $5)',
      [host.hostId, host.poolId, host.name, host.address, host.keyHash],
    );
  } catch (error) {
    if (error instanceof QueryFailedError && codeOf(error.driverError) === UNIQUE_VIOLATION)
      throw hostExists(`The pool has a host named ${host.name}.`);
    throw error;
  }
}

const codeOf = (error: unknown): unknown =>
  typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;

function signedBy(certificate: X509Certificate, ca: string): boolean {
  const authority = new X509Certificate(ca);
  return (
    certificate.checkIssued(authority) &&
    certificate.verify(authority.publicKey) &&
    certificate.validFromDate.getTime() <= Date.now()
  );
}
