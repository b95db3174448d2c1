import { join } from 'node:path';
import { Fencing } from '../../src/agent/fencing.js';
import { Journal } from '../../src/agent/journal/journal.js';
import { scratchFolder } from '../support/scratch-folder.js';
import { FollowedJournal } from './follow-journal.js';

it('nothing that an agent wrote down is missed or seen twice, though its journal is written anew and opened again', async () => {
  const scratch = scratchFolder('journal');
  const fencing = new Fencing();
  let journal = await Journal.open(scratch.path, fencing);
  const followed = new FollowedJournal('host', join(scratch.path, 'journal'));
  const written: string[] = [];
  const act = async (key: string, attempt = 1): Promise<void> => {
    const begin = {
      key,
      call: 'domain.pause',
      operationId: key,
      step: 's',
      attempt,
      hostEpoch: 1,
      domain: null,
    };
    await journal.begin(begin);
    written.push(`begin ${key} ${attempt}`);
    await journal.end(key, { kind: 'result', result: {} });
    written.push(`end ${key}`);
  };
  await act('a');
  followed.look();
  await act('b');
  // What came between the last look and this stands in the old file alone, once `b` was let go.
  await journal.release(['b']);
  await journal.compact();
  await act('c');
  followed.look();
  await act('c', 2);
  await journal.compact();
  await journal.close();
  journal = await Journal.open(scratch.path, fencing);
  await act('d');
  followed.look();
  followed.look();
  followed.close();
  await journal.close();
  const seen = followed.entries.map((entry) =>
    entry.kind === 'begin' ? `begin ${entry.key} ${entry.attempt}` : `end ${entry.key}`,
  );
  expect(seen).toEqual(written);
  scratch.remove();
});
