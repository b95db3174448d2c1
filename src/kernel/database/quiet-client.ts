import pg from 'pg';

const ignore = (): void => undefined;

/**
 * A connection may break at any moment, also between two statements of whoever has it, and after its last listener has been
 * taken off: that would be an 'error' that nobody hears, which ends the process. Here somebody always hears it; the next
 * statement says it to whom it concerns.
 */
export class QuietClient extends pg.Client {
  constructor(config?: string | pg.ClientConfig) {
    super(config);
    this.on('error', ignore);
  }

  override removeAllListeners(event?: string | symbol): this {
    super.removeAllListeners(event);
    if (event === undefined || event === 'error') this.on('error', ignore);
    return this;
  }
}
