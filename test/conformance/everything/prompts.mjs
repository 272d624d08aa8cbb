import { elicit, requiredString } from './asking.mjs';
import { PNG } from './media.mjs';
import { find, Refusal } from './refusal.mjs';

/** What `completion/complete` has to offer, whichever argument it is asked for. */
export const ARGUMENT_VALUES = ['test', 'tested', 'testing', 'toast'];

/**
 * @import { Prompt, PromptMessage } from '@modelcontextprotocol/sdk/types.js'
 * @import { Call } from './tools.mjs'
 */

/**
 * @type {(Prompt & {
 *   messages: (given: Record<string, string>, call: Pick<Call, 'ask'>) => PromptMessage[] | Promise<PromptMessage[]>,
 * })[]}
 */
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
  {
    name: 'test_input_required_result_prompt',
    description: 'Asks the user what it is about',
    async messages(_given, { ask }) {
      const question = elicit('What context should the prompt use?', requiredString('context'));
      const { user_context } = await ask({ user_context: question });
      return [user({ type: 'text', text: `Context: ${user_context.content?.context}` })];
    },
  },
];

/**
 * @param {string} name
 * @param {Record<string, string>} given
 * @param {Pick<Call, 'ask'>} call
 */
export async function getPrompt(name, given, call) {
  const prompt = find(prompts, name, 'prompt');
  const missing = prompt.arguments?.find((argument) => argument.required && !(argument.name in given));
  if (missing) throw new Refusal(`Prompt ${name} needs the argument ${missing.name}`);
  return { messages: await prompt.messages(given, call) };
}

/**
 * @param {PromptMessage['content']} content
 * @returns {PromptMessage}
 */
function user(content) {
  return { role: 'user', content };
}
