import { interleave } from './interleave.js';

describe('interleaving', () => {
  it('takes the sides in turn and leaves the warm-up rounds out', async () => {
    const order: string[] = [];
    const side = (name: string) => ({ name, once: async () => order.push(name) });
    const series = await interleave([side('product'), side('bare')], { rounds: 2, warmUps: 1 });
    expect(order).toEqual(['product', 'bare', 'product', 'bare', 'product', 'bare']);
    expect(series).toEqual([
      { name: 'product', samples: [3, 5] },
      { name: 'bare', samples: [4, 6] },
    ]);
  });

  it('stops at the first side that fails: half a comparison is none', async () => {
    const failing = { name: 'product', once: () => Promise.reject(new Error('no guest')) };
    await expect(interleave([failing], { rounds: 3, warmUps: 0 })).rejects.toThrow('no guest');
  });
});
