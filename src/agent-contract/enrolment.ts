import { z } from 'zod';
import { defineProblem } from '../kernel/errors/problem.js';
import { objectName, uuid } from '../kernel/schema/values.js';

/**
 * The only two calls that an agent makes to the server: `POST /v1/enrol` and `POST /v1/renew` on the enrolment
 * listener, JSON in and out, refusals as problem+json.
 */
export const enrolPath = '/v1/enrol';
export const renewPath = '/v1/renew';
export const maxEnrolmentBytes = 16 * 1024;

export const enrolmentRefused = defineProblem({
  code: 'enrolment.refused',
  status: 403,
  title: 'The host may not enrol',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const renewalRefused = defineProblem({
  code: 'enrolment.renewal_refused',
  status: 403,
  title: 'The certificate may not be renewed',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const hostExists = defineProblem({
  code: 'host.exists',
  status: 409,
  title: 'The pool has a host of that name',
  retry: 'after_change',
  remedies: ['ask_otherwise'],
});
export const hostAddressRefused = defineProblem({
  code: 'host.address_refused',
  status: 422,
  title: 'The address is outside the networks that the pool allows',
  retry: 'after_change',
  remedies: ['update', 'ask_otherwise'],
});

/** `ip:port`, IPv6 in brackets. Names are refused: what the server dials must not change behind it. */
export const agentAddress = z
  .string()
  .max(64)
  .regex(/^(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.]+\]):[1-9]\d{0,4}$/, 'must be ip:port');

export const enrolInput = z.strictObject({
  secret: z.string().max(128),
  hostName: objectName,
  address: agentAddress,
  /** PKCS #10 in PEM, signed with the agent's own P-256 key. */
  csr: z.string().max(4096),
});

export const enrolAnswer = z.object({
  hostId: uuid,
  hostEpoch: z.int().positive(),
  poolId: uuid,
  /** PEM. Good for some days; renewed at two thirds of its life. */
  certificate: z.string(),
  /** PEM of the pool's CA. */
  ca: z.string(),
});

/** Made over mutual TLS with the present certificate, which may have run out: for its key and epoch only. */
export const renewInput = z.strictObject({ address: agentAddress });
export const renewAnswer = enrolAnswer;

export type EnrolAnswer = z.output<typeof enrolAnswer>;

/** A one-time token: which CA to trust, and the secret that proves the right to enrol. */
export interface EnrolmentToken {
  /** SHA-256 of the CA's certificate in DER, base64url. */
  readonly caFingerprint: string;
  readonly secret: string;
}

const tokenText = /^domus1\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{22,128})$/;

export const formatEnrolmentToken = (token: EnrolmentToken): string =>
  `domus1.${token.caFingerprint}.${token.secret}`;

export function parseEnrolmentToken(text: string): EnrolmentToken | null {
  const match = tokenText.exec(text.trim());
  return match?.[1] && match[2] ? { caFingerprint: match[1], secret: match[2] } : null;
}

/**
 * The name that an agent asks for in the TLS handshake (SNI) with the enrolment listener, so that one listener serves
 * many pools: the first half of the CA's fingerprint in hex, since DNS labels know no case and end at 63 characters.
 */
export const enrolmentServerName = (caFingerprint: string): string =>
  `${Buffer.from(caFingerprint, 'base64url').toString('hex').slice(0, 32)}.ca.domus.internal`;
