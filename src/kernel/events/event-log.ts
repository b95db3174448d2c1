import { type Logger } from 'pino';
import { type DataSource } from 'typeorm';
import { poolOf } from '../database/statement.js';
import { EventFeed } from './event-feed.js';
import { EventSequencer } from './sequencer.js';

/** What a process needs of the log: numbers for what it appends, and one reader for all its subscribers. */
export class EventLog {
  readonly feed: EventFeed;
  private readonly sequencer: EventSequencer;

  constructor(options: { dataSource: DataSource; databaseUrl: string; log: Pick<Logger, 'warn' | 'error'> }) {
    const { dataSource, databaseUrl, log } = options;
    this.feed = new EventFeed(poolOf(dataSource), databaseUrl, log);
    this.sequencer = new EventSequencer(dataSource, log, (last) => this.feed.advance(last));
  }

  async start(): Promise<void> {
    await this.feed.start();
    this.sequencer.start();
  }

  /** Events have been committed outside a TypeORM transaction. */
  poke(): void {
    this.sequencer.poke();
  }

  async close(): Promise<void> {
    await this.sequencer.stop();
    await this.feed.close();
  }
}
