import { Args, GraphQLSchemaBuilderModule, GraphQLSchemaFactory, Query, Resolver } from '@nestjs/graphql';
import { Test } from '@nestjs/testing';
import { printSchema } from 'graphql';
import { z } from 'zod';
import { bytes, instant, uuid } from '../../kernel/schema/values.js';
import { inputType, objectType } from './type-of-schema.js';

const color = z.enum(['red', 'green']).meta({ id: 'Color' });
const wheel = z.object({ size: z.int(), made: instant.nullable() }).meta({ id: 'Wheel' });
const petrol = z.strictObject({ litres: z.number(), note: z.string() });
const electric = z.strictObject({ watts: bytes, note: z.string() });
const car = z
  .object({
    id: uuid,
    color: color.nullable(),
    wheels: z.array(wheel),
    engine: z.union([petrol, electric]).meta({ id: 'Engine' }),
    tags: z.array(z.union([z.cidrv4(), z.cidrv6()])),
    seat: z.object({ soft: z.boolean() }),
    anything: z.unknown(),
    name: z.string().describe('What it is called.'),
  })
  .meta({ id: 'Car' });
const createCar = z
  .strictObject({
    id: uuid.optional(),
    color: color.default('red'),
    wheels: z.array(wheel).min(1),
    weight: bytes.min(5).nullable(),
  })
  .meta({ id: 'CreateCarInput' });

const Car = objectType(car);
const CreateCar = inputType(createCar);

@Resolver()
class Cars {
  @Query(() => Car)
  car(@Args('input', { type: () => CreateCar }) _: unknown): null {
    return null;
  }
}

it('a zod object is the same shape in GraphQL, as output and as input', async () => {
  const module = await Test.createTestingModule({ imports: [GraphQLSchemaBuilderModule] }).compile();
  const schema = await module.get(GraphQLSchemaFactory).create([Cars]);
  const sdl = printSchema(schema);
  const block = (head: string): string[] =>
    (new RegExp(`^${head} \\{\\n([^}]*)\\}`, 'm').exec(sdl)?.[1] ?? '')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('"'));
  expect(block('type Car')).toEqual([
    'id: ID!',
    'color: Color',
    'wheels: [Wheel!]!',
    'engine: Engine!',
    'tags: [String!]!',
    'seat: CarSeat!',
    'anything: JSON',
    'name: String!',
  ]);
  expect(sdl).toContain('"""What it is called."""');
  expect(block('enum Color')).toEqual(['red', 'green']);
  expect(block('type Wheel')).toEqual(['size: Int!', 'made: Instant']);
  // Of a union's branches a field is certain only where every branch has it.
  expect(block('type Engine')).toEqual(['litres: Float', 'note: String!', 'watts: Bytes']);
  expect(block('input CreateCarInput')).toEqual([
    'id: ID',
    'color: Color',
    'wheels: [WheelInput!]!',
    'weight: Bytes',
  ]);
  expect(block('input WheelInput')).toEqual(['size: Int!', 'made: Instant']);
});
