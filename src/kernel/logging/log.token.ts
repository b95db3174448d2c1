/** The server's logger in Nest: `@Inject(LOG) private readonly log: Logger`. */
export const LOG = Symbol('log');
