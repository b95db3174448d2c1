/**
 * Who a certificate of the pool's CA speaks for, as URIs in its subject alternative name. The CA writes them itself
 * and copies nothing from a request, so the text can be trusted once the signature has been checked.
 */
export type Identity = { role: 'server' } | { role: 'host'; hostId: string; epoch: number };

const hostUri =
  /^urn:domus:host:([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}):epoch:([1-9]\d{0,8})$/;

export const identityUri = (identity: Identity): string =>
  identity.role === 'server'
    ? 'urn:domus:server'
    : `urn:domus:host:${identity.hostId}:epoch:${identity.epoch}`;

/** Reads Node's `subjectAltName` text. Exactly one URI must stand there, and it must be one of ours; otherwise null. */
export function readIdentity(subjectAltName: string | undefined): Identity | null {
  const uris = (subjectAltName ?? '').split(', ').filter((part) => part.startsWith('URI:'));
  if (uris.length !== 1) return null;
  const uri = uris[0]?.slice('URI:'.length) ?? '';
  if (uri === 'urn:domus:server') return { role: 'server' };
  const match = hostUri.exec(uri);
  return match?.[1] && match[2] ? { role: 'host', hostId: match[1], epoch: Number(match[2]) } : null;
}
