// The schemas the suite compares. Everything in them must reach the client unchanged.

/** SEP-1613 and SEP-2106: anchors, composition and conditions in a tool's input schema. */
export const contactSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: {
    address: {
      $anchor: 'addressDef',
      type: 'object',
      properties: { street: { type: 'string' }, city: { type: 'string' } },
    },
  },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' },
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
};

/**
 * @import { ElicitRequestFormParams } from '@modelcontextprotocol/sdk/types.js'
 * @typedef {ElicitRequestFormParams['requestedSchema']} FormSchema
 */

/** @type {FormSchema} */
export const userSchema = {
  type: 'object',
  properties: {
    username: { type: 'string', description: 'How to call you' },
    email: { type: 'string', description: 'Where to write to you' },
  },
  required: ['username', 'email'],
};

/** @type {FormSchema} SEP-1034 */
export const defaultsSchema = {
  type: 'object',
  properties: {
    name: { type: 'string', default: 'John Doe' },
    age: { type: 'integer', default: 30 },
    score: { type: 'number', default: 95.5 },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
    verified: { type: 'boolean', default: true },
  },
};

/** @type {FormSchema} SEP-1330 */
export const enumsSchema = {
  type: 'object',
  properties: {
    untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
    titledSingle: { type: 'string', oneOf: titled('First Option', 'Second Option', 'Third Option') },
    legacyEnum: {
      type: 'string',
      enum: ['opt1', 'opt2', 'opt3'],
      enumNames: ['Option One', 'Option Two', 'Option Three'],
    },
    untitledMulti: { type: 'array', items: { type: 'string', enum: ['option1', 'option2', 'option3'] } },
    titledMulti: { type: 'array', items: { anyOf: titled('First Choice', 'Second Choice', 'Third Choice') } },
  },
};

/** @param {string[]} titles */
function titled(...titles) {
  return titles.map((title, index) => ({ const: `value${index + 1}`, title }));
}
