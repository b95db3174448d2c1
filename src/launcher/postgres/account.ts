/**
 * Under whose name PostgreSQL runs. It refuses to be root, so that as root we either give it a user namespace of its own,
 * in which root's files belong to somebody else (nothing on the machine changes and the files stay root's), or, where
 * the kernel forbids that, a user that is already there. No user is ever made.
 */
export type Account =
  | { readonly kind: 'own'; readonly uid: number; readonly gid: number }
  | { readonly kind: 'mapped'; readonly uid: number; readonly gid: number }
  | { readonly kind: 'user'; readonly uid: number; readonly gid: number };

interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

export function parseUsers(passwd: string): User[] {
  return passwd.split('\n').flatMap((line) => {
    const [name, , uid, gid] = line.split(':');
    return name && uid && gid ? [{ name, uid: Number(uid), gid: Number(gid) }] : [];
  });
}

/** Undefined when there is nobody to run as. initdb insists that the user is listed in /etc/passwd, inside a namespace too. */
export function chooseAccount(facts: {
  uid: number;
  gid: number;
  /** Whether `unshare --map-user` works here: it does not in most containers. */
  canMap: boolean;
  users: User[];
}): Account | undefined {
  if (facts.uid !== 0) return { kind: 'own', uid: facts.uid, gid: facts.gid };
  const named = (name: string) => facts.users.find((user) => user.name === name && user.uid !== 0);
  if (facts.canMap) {
    const shown = named('nobody') ?? facts.users.find((user) => user.uid !== 0);
    return shown && { kind: 'mapped', uid: shown.uid, gid: shown.gid };
  }
  const real = named('postgres') ?? named('nobody');
  return real && { kind: 'user', uid: real.uid, gid: real.gid };
}

export interface Invocation {
  readonly command: string;
  readonly args: string[];
  readonly uid?: number;
  readonly gid?: number;
}

/** How to run a program of PostgreSQL's as that account. */
export function runAs(account: Account, program: string, args: string[]): Invocation {
  switch (account.kind) {
    case 'own':
      return { command: program, args };
    case 'mapped':
      return {
        command: 'unshare',
        args: [`--map-user=${account.uid}`, `--map-group=${account.gid}`, '--', program, ...args],
      };
    case 'user':
      return { command: program, args, uid: account.uid, gid: account.gid };
  }
}
