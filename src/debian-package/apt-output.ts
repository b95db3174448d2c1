/** What apt and dpkg print, read by pure functions. */

/** One stanza of `apt-cache show`: field names in lower case, folded lines joined. */
export type PackageStanza = ReadonlyMap<string, string>;

export function parseStanzas(text: string): PackageStanza[] {
  return text
    .split(/\n\s*\n/)
    .map((block) => {
      const fields = new Map<string, string>();
      let last: string | undefined;
      for (const line of block.split('\n')) {
        const field = /^([A-Za-z0-9-]+):\s*(.*)$/.exec(line);
        if (field?.[1] !== undefined) {
          last = field[1].toLowerCase();
          fields.set(last, field[2] ?? '');
        } else if (last !== undefined && /^\s/.test(line)) {
          fields.set(last, `${fields.get(last)}\n${line.trim()}`);
        }
      }
      return fields;
    })
    .filter((fields) => fields.size > 0);
}

/** Package names in a Depends field, alternatives included, without versions and architectures. */
export function dependencyNames(depends: string): string[] {
  return depends
    .split(/[,|]/)
    .map((one) => /^\s*([a-z0-9][a-z0-9+.-]*)/.exec(one)?.[1])
    .filter((name) => name !== undefined);
}

/** The packages that `apt-get --simulate install` would unpack. apt never translates the word `Inst`. */
export function parseSimulatedInstall(text: string): string[] {
  return [...text.matchAll(/^Inst (\S+) /gm)].map((match) => match[1] ?? '');
}
