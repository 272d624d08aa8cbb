import { PNG } from './media.mjs';

/** What `completion/complete` has to offer, whichever argument it is asked for. */
export const ARGUMENT_VALUES = ['test', 'tested', 'testing', 'toast'];

/** @import { Prompt, PromptMessage } from '@modelcontextprotocol/sdk/types.js' */

/** @type {(Prompt & { messages: (given: Record<string, string>) => PromptMessage[] })[]} */
export const prompts = [
  {
    name: 'test_simple_prompt',
    description: 'Needs no arguments',
    messages: () => [user({ type: 'text', text: 'This is a simple prompt for testing.' })],
  },
  {
    name: 'test_prompt_with_arguments',
    description: 'Repeats its arguments',
    arguments: [
      { name: 'arg1', description: 'The first', required: true },
      { name: 'arg2', description: 'The second', required: true },
    ],
    messages: ({ arg1, arg2 }) => [
      user({ type: 'text', text: `Prompt with arguments: arg1='${arg1}', arg2='${arg2}'` }),
    ],
  },
  {
    name: 'test_prompt_with_embedded_resource',
    description: 'Embeds the resource it is given',
    arguments: [{ name: 'resourceUri', description: 'Which resource', required: true }],
    messages: ({ resourceUri }) => [
      user({
        type: 'resource',
        resource: {
          uri: resourceUri,
          mimeType: 'text/plain',
          text: 'Embedded resource content for testing.',
        },
      }),
      user({ type: 'text', text: 'Please process the embedded resource above.' }),
    ],
  },
  {
    name: 'test_prompt_with_image',
    description: 'Shows an image',
    messages: () => [
      user({ type: 'image', data: PNG, mimeType: 'image/png' }),
      user({ type: 'text', text: 'Please analyze the image above.' }),
    ],
  },
];

/**
 * @param {PromptMessage['content']} content
 * @returns {PromptMessage}
 */
function user(content) {
  return { role: 'user', content };
}
