/** One process among those that share a database. */
export interface Replica {
  /** New at every start. Others see by `presentSql(id)` whether it lives. */
  readonly id: string;
  /** May a missing presence be read as a dead process? Not while this one's own connection is being restored. */
  canJudge(): boolean;
}
