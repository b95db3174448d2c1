import { readFileSync } from 'node:fs';
import { type z } from 'zod';

/** Containers are handed secrets as files; one file then serves PostgreSQL and the server. */
export function addPassword(url: string, file: string | undefined, context: z.RefinementCtx): string {
  if (file === undefined) return url;
  const refuse = (path: string, message: string): string => {
    context.addIssue({ code: 'custom', path: [path], message });
    return url;
  };
  let password: string;
  try {
    password = readFileSync(file, 'utf8').trim();
  } catch (error) {
    return refuse('DATABASE_PASSWORD_FILE', `cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  const withPassword = URL.parse(url);
  if (!withPassword?.host || withPassword.username === '' || withPassword.password !== '') {
    return refuse(
      'DATABASE_URL',
      'must name a user and a host and no password, since DATABASE_PASSWORD_FILE has it',
    );
  }
  withPassword.password = encodeURIComponent(password);
  return withPassword.href;
}
