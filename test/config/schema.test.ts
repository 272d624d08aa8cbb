import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { configJsonSchema } from '../../src/config/schema.js';

test('config/mcp-proxy.schema.json is what `npm run schema` writes', () => {
  const file = new URL('../../config/mcp-proxy.schema.json', import.meta.url);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(JSON.parse(JSON.stringify(configJsonSchema())));
});

test('every key of the schema says what it is for, but those that only hold others', () => {
  const silent: string[] = [];
  const visit = (schema: unknown, path: string) => {
    const { properties = {}, additionalProperties } = schema as {
      properties?: Record<string, { description?: string; properties?: unknown }>;
      additionalProperties?: unknown;
    };
    for (const [key, property] of Object.entries(properties)) {
      if (property.description === undefined && !property.properties) silent.push(`${path}${key}`);
      visit(property, `${path}${key}.`);
    }
    if (typeof additionalProperties === 'object') visit(additionalProperties, `${path}*.`);
  };
  visit(configJsonSchema(), '');
  expect(silent).toEqual(['$schema']);
});
