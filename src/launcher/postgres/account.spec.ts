import { chooseAccount, parseUsers, runAs } from './account.js';

const users = parseUsers(
  ['root:x:0:0::/root:/bin/sh', 'nobody:x:65534:65533::/:/bin/false', 'torn line'].join('\n'),
);
const postgres = { name: 'postgres', uid: 105, gid: 106 };

describe('under whose name PostgreSQL runs', () => {
  it('is our own unless we are root', () => {
    expect(chooseAccount({ uid: 1000, gid: 1000, canMap: true, users })).toMatchObject({ kind: 'own' });
  });

  it('is a listed user in a namespace of its own when we are root, so that nothing on the machine changes', () => {
    const account = chooseAccount({ uid: 0, gid: 0, canMap: true, users: [...users, postgres] });
    expect(account).toEqual({ kind: 'mapped', uid: 65534, gid: 65533 });
    expect(account && runAs(account, '/p/postgres', ['-D', 'd'])).toEqual({
      command: 'unshare',
      args: ['--map-user=65534', '--map-group=65533', '--', '/p/postgres', '-D', 'd'],
    });
  });

  it('is a user that is there already where namespaces are forbidden', () => {
    const forbidden = { uid: 0, gid: 0, canMap: false };
    expect(chooseAccount({ ...forbidden, users: [...users, postgres] })).toMatchObject({
      kind: 'user',
      uid: 105,
    });
    expect(chooseAccount({ ...forbidden, users })).toMatchObject({ kind: 'user', uid: 65534 });
    expect(chooseAccount({ ...forbidden, users: [] })).toBeUndefined();
  });
});
