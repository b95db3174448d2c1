import { Column, type ColumnOptions, PrimaryColumn } from 'typeorm';

/** `bigint` arrives as text; every number of ours stays below 2^53. */
const wholeNumber = {
  to: (value: number | null | undefined) => value,
  from: (value: string | null) => (value === null ? null : Number(value)),
};

/** The application makes ids (version 7, or the client's own), so that PostgreSQL 15 serves as well as 18. */
export const IdColumn = (): PropertyDecorator => PrimaryColumn('uuid');
export const RefColumn = (options: ColumnOptions = {}): PropertyDecorator => Column('uuid', options);
export const TextColumn = (options: ColumnOptions = {}): PropertyDecorator => Column('text', options);
export const IntColumn = (options: ColumnOptions = {}): PropertyDecorator => Column('int', options);
export const BigColumn = (options: ColumnOptions = {}): PropertyDecorator =>
  Column('bigint', { transformer: wholeNumber, ...options });
export const TimeColumn = (options: ColumnOptions = {}): PropertyDecorator => Column('timestamptz', options);
export const JsonColumn = (options: ColumnOptions = {}): PropertyDecorator => Column('jsonb', options);
export const FlagColumn = (options: ColumnOptions = {}): PropertyDecorator =>
  Column('boolean', { default: false, ...options });
/** `created_at` and `updated_at` are written by the statement that makes the change, with the database's clock. */
export const NowColumn = (): PropertyDecorator => Column('timestamptz', { default: () => 'now()' });
