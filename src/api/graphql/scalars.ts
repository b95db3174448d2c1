import { GraphQLError, GraphQLScalarType, Kind, type ValueNode } from 'graphql';

const whole = (value: unknown): number => {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
  throw new GraphQLError('must be a whole number of bytes up to 2^53-1');
};

/** The same JSON number as in REST: sizes pass 32 bits, which is all that Int has. */
export const Bytes = new GraphQLScalarType<number, number>({
  name: 'Bytes',
  description: 'Whole bytes, as a JSON number up to 2^53-1.',
  serialize: whole,
  parseValue: whole,
  parseLiteral: (node) => {
    if (node.kind === Kind.INT) return whole(Number(node.value));
    throw new GraphQLError('must be a whole number of bytes');
  },
});

const text = (value: unknown): string => {
  if (typeof value === 'string') return value;
  throw new GraphQLError('must be a time as text');
};

export const Instant = new GraphQLScalarType<string, string>({
  name: 'Instant',
  description: 'A time as in RFC 3339, in UTC.',
  serialize: text,
  parseValue: text,
  parseLiteral: (node) => text(node.kind === Kind.STRING ? node.value : null),
});

function literal(node: ValueNode, variables: Readonly<Record<string, unknown>> | null | undefined): unknown {
  switch (node.kind) {
    case Kind.STRING:
    case Kind.BOOLEAN:
    case Kind.ENUM:
      return node.value;
    case Kind.INT:
    case Kind.FLOAT:
      return Number(node.value);
    case Kind.NULL:
      return null;
    case Kind.LIST:
      return node.values.map((value) => literal(value, variables));
    case Kind.OBJECT:
      return Object.fromEntries(
        node.fields.map(({ name, value }) => [name.value, literal(value, variables)]),
      );
    case Kind.VARIABLE:
      return variables?.[node.name.value];
  }
}

/** For values whose shape is their own. What comes in is parsed by the schema of its mutation. */
export const Json = new GraphQLScalarType<unknown, unknown>({
  name: 'JSON',
  description: 'Any JSON value.',
  serialize: (value) => value,
  parseValue: (value) => value,
  parseLiteral: literal,
});
