// The tools that cannot go on without an answer of the user, or of the model or the client.

import { text } from './content.mjs';
import { defaultsSchema, enumsSchema, userSchema } from './schemas.mjs';

/**
 * @import { FormSchema } from './schemas.mjs'
 * @import { Tool } from './tools.mjs'
 *
 * @typedef {{ method: 'elicitation/create' | 'roots/list' | 'sampling/createMessage', params: object }} Question
 */

/** @type {Tool[]} */
export const asking = [
  {
    name: 'test_sampling',
    description: 'Has the model of the client answer a prompt',
    inputSchema: requiredString('prompt'),
    async call({ prompt }, { ask }) {
      const { answer } = await ask({ answer: sample(prompt) });
      return text(`LLM response: ${answer.content.text ?? answer.content.type}`);
    },
  },
  {
    name: 'test_elicitation',
    description: 'Asks the user for a name and an address',
    inputSchema: requiredString('message'),
    async call({ message }, { ask }) {
      const { user } = await ask({ user: elicit(message, userSchema) });
      return text(`User response: action=${user.action}, content=${JSON.stringify(user.content)}`);
    },
  },
  {
    name: 'test_elicitation_sep1034_defaults',
    description: 'Asks the user, with a default for each kind of field',
    async call(_given, { ask }) {
      const { form } = await ask({ form: elicit('Keep or change these', defaultsSchema) });
      return text(`Elicitation completed: action=${form.action}, content=${JSON.stringify(form.content)}`);
    },
  },
  {
    name: 'test_elicitation_sep1330_enums',
    description: 'Asks the user to choose, in each way there is',
    async call(_given, { ask }) {
      const { form } = await ask({ form: elicit('Choose', enumsSchema) });
      return text(`Elicitation completed: action=${form.action}, content=${JSON.stringify(form.content)}`);
    },
  },
  {
    name: 'test_missing_capability',
    description: 'Needs a client with a model',
    async call(_given, { ask }) {
      const { answer } = await ask({ answer: sample('Is there a model?') });
      return text(`LLM response: ${answer.content.text}`);
    },
  },
  {
    name: 'test_streaming_elicitation',
    description: 'Asks the user on its way',
    async call(_given, { progress, ask }) {
      await progress(1, 2);
      const { user_name } = await ask({ user_name: askName() });
      return text(`Hello, ${user_name.content?.name}!`);
    },
  },
  {
    name: 'test_input_required_result_elicitation',
    description: 'Asks the user for a name',
    async call(_given, { ask }) {
      const { user_name } = await ask({ user_name: askName() });
      return text(`Hello, ${user_name.content?.name}!`);
    },
  },
  {
    name: 'test_input_required_result_sampling',
    description: 'Asks the model for a capital',
    async call(_given, { ask }) {
      const { capital_question } = await ask({ capital_question: sample('What is the capital of France?') });
      return text(capital_question.content.text);
    },
  },
  {
    name: 'test_input_required_result_list_roots',
    description: 'Asks the client for its roots',
    async call(_given, { ask }) {
      const { client_roots } = await ask({ client_roots: LIST_ROOTS });
      return text(`Roots: ${namesOf(client_roots)}`);
    },
  },
  {
    name: 'test_input_required_result_request_state',
    description: 'Asks the user to confirm',
    async call(_given, { ask }) {
      const { confirm } = await ask({ confirm: askConfirmation() });
      return text(`state-ok, confirmed: ${confirm.content?.ok}`);
    },
  },
  {
    name: 'test_input_required_result_tampered_state',
    description: 'Asks the user to confirm',
    async call(_given, { ask }) {
      const { confirm } = await ask({ confirm: askConfirmation() });
      return text(`Confirmed: ${confirm.content?.ok}`);
    },
  },
  {
    name: 'test_input_required_result_multiple_inputs',
    description: 'Asks the user, the model and the client at once',
    async call(_given, { ask }) {
      const { user_name, greeting, client_roots } = await ask({
        user_name: askName(),
        greeting: sample('Generate a greeting'),
        client_roots: LIST_ROOTS,
      });
      return text(`${greeting.content.text} ${user_name.content?.name}: ${namesOf(client_roots)}`);
    },
  },
  {
    name: 'test_input_required_result_multi_round',
    description: 'Asks the user twice, one after the other',
    async call(_given, { ask }) {
      const { step1 } = await ask({ step1: elicit('Step 1: What is your name?', requiredString('name')) });
      const color = elicit('Step 2: What is your favorite color?', requiredString('color'));
      const { step2 } = await ask({ step2: color });
      return text(`${step1.content?.name} likes ${step2.content?.color}`);
    },
  },
  {
    name: 'test_input_required_result_capabilities',
    description: 'Asks whatever the client can be asked for',
    async call(_given, { ask, capabilities }) {
      const { elicitation, sampling } = capabilities();
      const answers = await ask({
        ...(elicitation ? { user_name: askName() } : {}),
        ...(sampling ? { greeting: sample('Generate a greeting') } : {}),
      });
      return text(`Answered: ${Object.keys(answers).join(', ')}`);
    },
  },
];

/** @type {Question} */
const LIST_ROOTS = { method: 'roots/list', params: {} };

/**
 * @param {string} prompt
 * @returns {Question}
 */
function sample(prompt) {
  const messages = [{ role: 'user', content: { type: 'text', text: prompt } }];
  return { method: 'sampling/createMessage', params: { messages, maxTokens: 100 } };
}

/**
 * @param {string} message
 * @param {FormSchema} requestedSchema
 * @returns {Question}
 */
export function elicit(message, requestedSchema) {
  return { method: 'elicitation/create', params: { message, requestedSchema } };
}

function askName() {
  return elicit('What is your name?', requiredString('name'));
}

function askConfirmation() {
  const ok = /** @type {const} */ ({
    type: 'object',
    properties: { ok: { type: 'boolean' } },
    required: ['ok'],
  });
  return elicit('Please confirm', ok);
}

/** @param {{ roots: { uri: string }[] }} answer */
function namesOf({ roots }) {
  return roots.map(({ uri }) => uri).join(', ');
}

/**
 * @param {string} name
 * @returns {FormSchema}
 */
export function requiredString(name) {
  return { type: 'object', properties: { [name]: { type: 'string' } }, required: [name] };
}
