import { afterExpiry } from '../kernel/retention/retention.js';

/** Enrolment tokens, used or not, a month after they ran out: which host came in with which stays known for so long. */
export const enrolmentRetention = afterExpiry('enrolmentTokens', 'enrolment_token', 30);
