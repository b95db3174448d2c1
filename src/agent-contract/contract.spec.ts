import { readFileSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { newId } from '../kernel/schema/values.js';
import * as contract from './index.js';
import {
  agentCalls,
  type AgentCall,
  contractVersion,
  FrameError,
  formatEnrolmentToken,
  frameToAgent,
  frameToServer,
  identityUri,
  parseEnrolmentToken,
  programVersion,
  readFrame,
  readIdentity,
  requestText,
} from './index.js';
import { printContract } from './print-contract.js';

const here = (name: string) => new URL(name, import.meta.url);

describe('the contract between server and agent', () => {
  it('changes only together with its version', () => {
    const printed = printContract();
    const path = here('contract.lock.json');
    const locked = readFileSync(path, 'utf8');
    if (printed === locked) return;
    if ((JSON.parse(locked) as { version: number }).version === contractVersion)
      throw new Error('The contract has changed: raise contractVersion in version.ts and run this again.');
    writeFileSync(path, printed);
    throw new Error('contract.lock.json now holds the new version of the contract: commit it.');
  });

  it('lists every call that it defines, each under a name of its own', () => {
    const isCall = (value: unknown): value is AgentCall =>
      typeof value === 'object' && value !== null && 'effect' in value && 'deadlineMs' in value;
    const defined = Object.values<unknown>(contract).filter(isCall);
    expect(new Set(defined)).toEqual(new Set(Object.values(agentCalls)));
    expect(new Set(defined.map(({ name }) => name)).size).toBe(defined.length);
  });

  it('names the version of the program as package.json does', () => {
    const { version } = JSON.parse(readFileSync(here('../../package.json'), 'utf8')) as { version: string };
    expect(programVersion).toBe(version);
  });
});

describe('a frame', () => {
  const frames = fc.oneof(
    fc.json(),
    fc.string(),
    fc.json().map((text) => `{"jsonrpc":"2.0","id":1,${text.slice(1)}`),
  );

  it('is read or refused with a FrameError, whatever the text', () => {
    fc.assert(
      fc.property(frames, fc.constantFrom(frameToAgent, frameToServer), (text, schema) => {
        try {
          readFrame(schema, text);
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('comes out as it went in', () => {
    const params = { input: { a: [1, 'ü\n'] }, fence: null, deadlineMs: 5 };
    expect(readFrame(frameToAgent, requestText(7, 'host.readFacts', params))).toEqual({
      jsonrpc: '2.0',
      id: 7,
      method: 'host.readFacts',
      params,
    });
  });

  it.each([
    ['an error is no result', '{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}', 'error'],
    ['a result may be null', '{"jsonrpc":"2.0","id":1,"result":null}', 'result'],
  ])('is told apart: %s', (_, text, field) => {
    expect(Object.keys(readFrame(frameToServer, text))).toContain(field);
  });
});

describe('the identity in a certificate', () => {
  it('comes out as it went in, beside any DNS name', () => {
    const host = { role: 'host' as const, hostId: newId(), epoch: 12 };
    for (const identity of [host, { role: 'server' as const }])
      expect(readIdentity(`DNS:a.b, URI:${identityUri(identity)}`)).toEqual(identity);
  });

  it.each([
    undefined,
    '',
    'DNS:urn:domus:server',
    'URI:urn:domus:server, URI:urn:domus:server',
    'URI:urn:domus:servers',
    `URI:urn:domus:host:${newId()}`,
    `URI:urn:domus:host:${newId()}:epoch:0`,
    `URI:urn:domus:host:${newId()}:epoch:1, URI:urn:domus:server`,
    'DNS:"x, URI:urn:domus:host"',
  ])('is nobody for %s', (text) => {
    expect(readIdentity(text)).toBeNull();
  });
});

describe('an enrolment token', () => {
  it('comes out as it went in', () => {
    const token = { caFingerprint: 'a'.repeat(43), secret: 'B-_'.repeat(10) };
    expect(parseEnrolmentToken(` ${formatEnrolmentToken(token)}\n`)).toEqual(token);
  });

  it.each([
    '',
    'domus1',
    'domus2.aaaa.bbbb',
    `domus1.${'a'.repeat(42)}.${'b'.repeat(43)}`,
    `domus1.${'a'.repeat(43)}.short`,
  ])('is not read from %s', (text) => {
    expect(parseEnrolmentToken(text)).toBeNull();
  });
});
