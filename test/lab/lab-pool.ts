import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../support/eventually.js';
import { startWholeServer, type WholeServer } from '../support/whole-server.js';
import { Lab, type LabRequest } from './lab.js';

/** A whole server in this process whose only hosts are those of a lab, enrolled by their own agents. */
export interface LabPool {
  readonly server: WholeServer;
  readonly lab: Lab;
  /** The host as the API shows it, once its agent is online. */
  online(name: string): Promise<Record<string, unknown>>;
  close(): Promise<void>;
}

/** From boot to online under emulation, on a machine that has other things to do. */
const ONLINE_MS = 120_000;

export async function openLabPool(request: Omit<LabRequest, 'agents'>): Promise<LabPool> {
  const server = await startWholeServer();
  const serverFile = join(server.folder, 'server.json');
  writeFileSync(serverFile, JSON.stringify({ enrolUrl: server.enrolUrl }));
  const tokenFor = async (hostName: string) => {
    const path = `/v1/pools/${server.poolId}/enrolment-tokens`;
    return String((await server.rest('POST', path, { hostName })).body['token']);
  };
  try {
    const lab = await Lab.open({ ...request, agents: { serverFile, tokenFor } });
    return {
      server,
      lab,
      online: (name) =>
        eventually(
          async () => {
            const { body } = await server.rest('GET', '/v1/hosts');
            const hosts = body['items'] as Record<string, unknown>[];
            return hosts.find((host) => host['name'] === name && host['state'] === 'online');
          },
          { within: ONLINE_MS, what: `that ${name} is online` },
        ),
      close: async () => {
        await lab.close();
        await server.close();
      },
    };
  } catch (error) {
    await server.close();
    throw error;
  }
}
