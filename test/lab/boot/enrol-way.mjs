/**
 * `enrol-way.mjs FILE`: QEMU starts it for each connection that a host of the lab makes to its enrolment address, with the
 * connection as stdin and stdout. FILE is the server's own `server.json`, read anew each time: the server may move.
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';

const { enrolUrl } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { hostname, port } = new globalThis.URL(enrolUrl);
const server = connect(Number(port), hostname);
server.on('error', () => process.exit(1));
process.stdin.on('error', () => server.destroy());
process.stdout.on('error', () => server.destroy());
process.stdin.pipe(server);
server.pipe(process.stdout);
server.on('close', () => process.exit(0));
