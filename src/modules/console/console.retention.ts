import { afterExpiry } from '../../kernel/retention/retention.js';

/** Sessions, a month after they could be used for the last time: who looked at what stays known for so long. */
export const consoleRetention = afterExpiry('consoleSessions', 'console_session', 30);
