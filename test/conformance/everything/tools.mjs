import { setTimeout as sleep } from 'node:timers/promises';
import { PNG, WAV } from './media.mjs';
import { contactSchema, defaultsSchema, enumsSchema, userSchema } from './schemas.mjs';

const PAUSE_MS = 50;

/** @import * as mcp from '@modelcontextprotocol/sdk/types.js' */

/**
 * What a tool may do during its call; all of it belongs to that call, and goes out on its stream.
 *
 * @typedef {object} Call
 * @property {(progress: number, total: number) => Promise<void>} progress nothing without a progress token
 * @property {(level: mcp.LoggingLevel, data: string) => Promise<void>} log
 * @property {(request: mcp.CreateMessageRequestParamsBase) => Promise<mcp.CreateMessageResult>} sample
 * @property {(request: mcp.ElicitRequestFormParams) => Promise<mcp.ElicitResult>} elicit
 * @property {() => void} closeStream leaves it to the client to come back for the rest; nothing on stdio
 *
 * @typedef {Omit<mcp.Tool, 'inputSchema'> & {
 *   inputSchema?: object,
 *   call: (given: Record<string, string>, call: Call) => mcp.CallToolResult | Promise<mcp.CallToolResult>,
 * }} Tool
 */

/** @type {Tool[]} */
export const tools = [
  {
    name: 'test_simple_text',
    description: 'Returns one text',
    call: () => text('This is a simple text response for testing.'),
  },
  {
    name: 'test_image_content',
    description: 'Returns an image',
    call: () => ({ content: [image] }),
  },
  {
    name: 'test_audio_content',
    description: 'Returns a sound',
    call: () => ({ content: [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }] }),
  },
  {
    name: 'test_embedded_resource',
    description: 'Returns a resource within the result',
    call: () => ({
      content: [embed('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')],
    }),
  },
  {
    name: 'test_multiple_content_types',
    description: 'Returns a text, an image and a resource',
    call: () => ({
      content: [
        { type: 'text', text: 'Multiple content types test:' },
        image,
        embed('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'),
      ],
    }),
  },
  {
    name: 'test_tool_with_logging',
    description: 'Logs three messages on its way',
    async call(_given, { log }) {
      await log('info', 'Tool execution started');
      await sleep(PAUSE_MS);
      await log('info', 'Tool processing data');
      await sleep(PAUSE_MS);
      await log('info', 'Tool execution completed');
      return text('Three messages were logged.');
    },
  },
  {
    name: 'test_tool_with_progress',
    description: 'Reports its progress three times',
    async call(_given, { progress }) {
      await progress(0, 100);
      await sleep(PAUSE_MS);
      await progress(50, 100);
      await sleep(PAUSE_MS);
      await progress(100, 100);
      return text('All of it is done.');
    },
  },
  {
    name: 'test_error_handling',
    description: 'Always fails',
    call() {
      throw new Error('This tool intentionally returns an error for testing');
    },
  },
  {
    name: 'test_reconnection',
    description: 'Closes its stream before it has answered',
    async call(_given, { closeStream }) {
      await sleep(PAUSE_MS);
      closeStream();
      // Long enough for a client to be back before the answer, which then arrives live instead of replayed.
      await sleep(4 * PAUSE_MS);
      return text('Answered after the stream was closed.');
    },
  },
  {
    name: 'test_sampling',
    description: 'Has the model of the client answer a prompt',
    inputSchema: requiredString('prompt'),
    async call({ prompt }, { sample }) {
      const { content } = await sample({
        messages: [{ role: 'user', content: { type: 'text', text: prompt } }],
        maxTokens: 100,
      });
      return text(`LLM response: ${content.type === 'text' ? content.text : content.type}`);
    },
  },
  {
    name: 'test_elicitation',
    description: 'Asks the user for a name and an address',
    inputSchema: requiredString('message'),
    async call({ message }, { elicit }) {
      const answer = await elicit({ message, requestedSchema: userSchema });
      return text(`User response: action=${answer.action}, content=${JSON.stringify(answer.content)}`);
    },
  },
  {
    name: 'test_elicitation_sep1034_defaults',
    description: 'Asks the user, with a default for each kind of field',
    call: (_given, { elicit }) =>
      report(elicit({ message: 'Keep or change these', requestedSchema: defaultsSchema })),
  },
  {
    name: 'test_elicitation_sep1330_enums',
    description: 'Asks the user to choose, in each way there is',
    call: (_given, { elicit }) => report(elicit({ message: 'Choose', requestedSchema: enumsSchema })),
  },
  {
    name: 'json_schema_2020_12_tool',
    description: 'Has an input schema with many keywords of JSON Schema 2020-12',
    inputSchema: contactSchema,
    call: (given) => text(JSON.stringify(given)),
  },
];

/** @type {mcp.ImageContent} */
const image = { type: 'image', data: PNG, mimeType: 'image/png' };

/**
 * @param {string} value
 * @returns {mcp.CallToolResult}
 */
function text(value) {
  return { content: [{ type: 'text', text: value }] };
}

/**
 * @param {string} uri
 * @param {string} mimeType
 * @param {string} body
 * @returns {mcp.EmbeddedResource}
 */
function embed(uri, mimeType, body) {
  return { type: 'resource', resource: { uri, mimeType, text: body } };
}

/** @param {Promise<mcp.ElicitResult>} answer */
async function report(answer) {
  const { action, content } = await answer;
  return text(`Elicitation completed: action=${action}, content=${JSON.stringify(content)}`);
}

/** @param {string} name */
function requiredString(name) {
  return { type: 'object', properties: { [name]: { type: 'string' } }, required: [name] };
}
