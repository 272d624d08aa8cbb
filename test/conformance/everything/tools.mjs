import { setTimeout as sleep } from 'node:timers/promises';
import { asking } from './asking.mjs';
import { embed, image, text } from './content.mjs';
import { WAV } from './media.mjs';
import { contactSchema } from './schemas.mjs';

const PAUSE_MS = 50;

/**
 * @import { CallToolResult, LoggingLevel, Tool as Definition } from '@modelcontextprotocol/sdk/types.js'
 * @import { Question } from './asking.mjs'
 */

/**
 * What a tool may do during its call. A server of either era gives it the means of its own.
 *
 * @typedef {object} Call
 * @property {(progress: number, total: number) => Promise<void>} progress nothing without a progress token
 * @property {(level: LoggingLevel, data: string) => Promise<void>} log
 * @property {(questions: Record<string, Question>) => Promise<Record<string, any>>} ask all at once. A modern server
 *   ends the call here and runs it anew, from its start, when the answers have come
 * @property {() => Record<string, unknown>} capabilities what the client can be asked for
 * @property {(list: 'prompts' | 'tools') => Promise<void>} changed tells whoever listens
 * @property {() => void} closeStream leaves it to the client to come back for the rest; nothing where no stream can be
 *   resumed
 *
 * @typedef {Omit<Definition, 'inputSchema'> & {
 *   inputSchema?: object,
 *   call: (given: Record<string, string>, call: Call) => CallToolResult | Promise<CallToolResult>,
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
    name: 'test_logging_tool',
    description: 'Logs one message',
    async call(_given, { log }) {
      await log('info', 'Only who asked for it hears this');
      return text('One message was logged.');
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
    name: 'json_schema_2020_12_tool',
    description: 'Has an input schema with many keywords of JSON Schema 2020-12',
    inputSchema: contactSchema,
    call: (given) => text(JSON.stringify(given)),
  },
  {
    name: 'test_header_param',
    description: 'Has an argument that is repeated in a header',
    inputSchema: {
      type: 'object',
      properties: { region: { type: 'string', 'x-mcp-header': 'Region' } },
      required: ['region'],
    },
    call: ({ region }) => text(`Region: ${region}`),
  },
  {
    name: 'test_trigger_tool_change',
    description: 'Tells that the tools have changed',
    async call(_given, { changed }) {
      await changed('tools');
      return text('The tools have changed.');
    },
  },
  {
    name: 'test_trigger_prompt_change',
    description: 'Tells that the prompts have changed',
    async call(_given, { changed }) {
      await changed('prompts');
      return text('The prompts have changed.');
    },
  },
  ...asking,
];
