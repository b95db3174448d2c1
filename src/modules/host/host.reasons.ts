import { blockerSql, literal } from '../../kernel/database/reason.js';
import { hostUnreachable } from '../../kernel/errors/problems.js';

/** SQL: that a host does not answer, of its row `h`. Whether it does is for the caller to say. */
export const hostAwaySql = (h: string): string =>
  blockerSql({
    code: hostUnreachable.code,
    detail: `'Host ' || ${h}.name || ' does not answer.'`,
    object: { type: `'host'`, id: `${h}.id` },
    clearedBy: literal('The host answers again.'),
  });
