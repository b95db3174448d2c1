import { z } from 'zod';

/** What becomes of an operation whose object another one holds. */
export const onBusy = z.enum(['refuse', 'wait']);
export type OnBusy = z.output<typeof onBusy>;
