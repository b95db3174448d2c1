import { pathOutsideRepository } from '../../kernel/errors/problems.js';

/**
 * Splits a path that a person gave into the names to walk, from the repository's folder downward. Refuses by the text
 * alone what would leave it; symbolic links are for the one who walks. An empty name and `.` stay where they are.
 */
export function confinedSegments(path: string): string[] {
  if (path.includes('\0')) throw pathOutsideRepository('The path holds a NUL character.');
  if (path.startsWith('/')) {
    throw pathOutsideRepository('The path is absolute; it must be relative to the repository.');
  }
  const segments = path.split('/').filter((segment) => segment !== '' && segment !== '.');
  if (segments.includes('..')) throw pathOutsideRepository('The path holds "..".');
  return segments;
}
