import { describeFaces } from './describe-faces.js';
import { type CataloguedProblem } from '../kernel/errors/problem.js';
import { type RemedyAct, remedyActs } from '../kernel/errors/remedies.js';

const byThemselves: readonly RemedyAct[] = ['ends', 'answers', 'state_changes', 'time'];

describe('the catalogue of problems', () => {
  let files: Record<string, string>;
  let problems: CataloguedProblem[];
  beforeAll(async () => {
    files = await describeFaces();
    problems = JSON.parse(files['errors.json'] ?? '[]') as CataloguedProblem[];
  }, 60_000);

  it('says of each, which may become a blocker, what would clear it, in words that both faces explain', () => {
    expect(problems.length).toBeGreaterThan(60);
    const words = Object.keys(remedyActs);
    expect(problems.filter(({ remedies }) => remedies.length === 0)).toEqual([]);
    for (const { remedies } of problems) expect(words).toEqual(expect.arrayContaining([...remedies]));
    for (const [act, what] of Object.entries(remedyActs)) {
      expect(files['openapi.json']).toContain(`"${act}": "${what}"`);
      expect(files['schema.graphql']).toContain(what);
    }
  });

  it('has no word that nothing uses', () => {
    const used = new Set(problems.flatMap(({ remedies }) => remedies));
    expect(Object.keys(remedyActs).filter((act) => !used.has(act as RemedyAct))).toEqual([]);
  });

  it('agrees with the advice when to ask again', () => {
    const of = (retry: string) => problems.filter((problem) => problem.retry === retry);
    const clears = ({ remedies }: CataloguedProblem, among: readonly RemedyAct[]) =>
      remedies.some((act) => among.includes(act));
    // A guest that did not obey may be asked again, or is ended by force.
    const later = of('later').filter(({ code }) => code !== 'domain.did_not_halt');
    expect(later.filter((problem) => !clears(problem, byThemselves))).toEqual([]);
    expect(of('after_change').filter(({ remedies }) => remedies.includes('nothing'))).toEqual([]);
    expect(of('never').filter((problem) => clears(problem, ['time']))).toEqual([]);
  });
});
