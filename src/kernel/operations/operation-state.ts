export const operationStates = [
  'queued',
  'running',
  'waiting',
  'cancelling',
  'undoing',
  'succeeded',
  'failed',
  'cancelled',
  'needs_attention',
] as const;
export type OperationState = (typeof operationStates)[number];
