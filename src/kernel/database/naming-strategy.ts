import { DefaultNamingStrategy, type NamingStrategyInterface, type Table } from 'typeorm';

const snake = (name: string): string => name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase();
const tableName = (table: Table | string): string =>
  (typeof table === 'string' ? table : table.name).split('.').pop() ?? '';
const joined = (kind: string, table: Table | string, columns: string[]): string =>
  [kind, tableName(table), ...[...columns].sort()].join('_').slice(0, 63);

/** snake_case columns, and constraint names that say what they are: an error message then names the rule that was broken. */
export class DomusNamingStrategy extends DefaultNamingStrategy implements NamingStrategyInterface {
  override columnName(propertyName: string, customName: string | undefined): string {
    return customName ?? snake(propertyName);
  }
  override primaryKeyName(table: Table | string): string {
    return `pk_${tableName(table)}`;
  }
  override uniqueConstraintName(table: Table | string, columns: string[]): string {
    return joined('uq', table, columns);
  }
  override foreignKeyName(table: Table | string, columns: string[]): string {
    return joined('fk', table, columns);
  }
  override indexName(table: Table | string, columns: string[], where?: string): string {
    return joined(where ? 'ixw' : 'ix', table, columns);
  }
  override checkConstraintName(table: Table | string, expression: string): string {
    return joined('ck', table, [expression.match(/\w+/)?.[0] ?? 'x']);
  }
}
