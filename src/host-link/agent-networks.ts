import { BlockList, isIP } from 'node:net';

/** `ip:port` or `[ip]:port`; null for anything else, such as a name, an octal or an IPv4 address in IPv6's clothes. */
export function readAddress(text: string): { host: string; port: number } | null {
  const at = text.lastIndexOf(':');
  const host = text.slice(0, at).replace(/^\[(.*)\]$/, '$1');
  const port = Number(text.slice(at + 1));
  if (isIP(host) === 0 || /^::ffff:/i.test(host) || !Number.isInteger(port) || port < 1 || port > 65_535)
    return null;
  return { host, port };
}

/** Whether the server may dial this address: inside one of the pool's networks (CIDR). A network that cannot be read allows nothing. */
export function insideNetworks(host: string, networks: readonly string[]): boolean {
  const family = isIP(host) === 6 ? 'ipv6' : 'ipv4';
  const allowed = new BlockList();
  for (const network of networks) {
    const [base = '', prefix = ''] = network.split('/');
    const version = isIP(base);
    if (version === 0 || !/^\d{1,3}$/.test(prefix)) continue;
    if (Number(prefix) <= (version === 6 ? 128 : 32))
      allowed.addSubnet(base, Number(prefix), version === 6 ? 'ipv6' : 'ipv4');
  }
  return isIP(host) !== 0 && allowed.check(host, family);
}
