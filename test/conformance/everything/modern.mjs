import {
  createRequestStateCodec,
  fromJsonSchema,
  inputRequired,
  McpServer,
} from '@modelcontextprotocol/server';
import { ARGUMENT_VALUES, getPrompt, prompts } from './prompts.mjs';
import { readResource, resources, resourceTemplates } from './resources.mjs';
import { tools } from './tools.mjs';

/**
 * @import { InputRequiredResult, ServerContext } from '@modelcontextprotocol/server'
 * @import { Question } from './asking.mjs'
 * @import { Call } from './tools.mjs'
 */

const CAPABILITIES = {
  completions: {},
  logging: {},
  prompts: { listChanged: true },
  resources: { subscribe: true },
  tools: { listChanged: true },
};

const RESOURCE_NOT_FOUND = -32602;

/** Not what the SDK says by itself, so that a hint that was lost on its way shows. */
const CACHE_HINT = /** @type {const} */ ({ ttlMs: 60_000, cacheScope: 'public' });

/**
 * The answers given so far go round with the client. Any instance may get the next request, so they share the key; it
 * guards nothing but a fixture.
 */
const states = createRequestStateCodec({ key: 'the key of the fixture, for all its instances' });

const CLIENT_CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities';

/**
 * A server of revision 2026-07-28, for one request over HTTP, for one connection over stdio. What it needs to know it
 * asks by its result, and the client then makes the same request again, with the answers.
 *
 * @param {(list: 'prompts' | 'tools') => void} [changed] tells whoever listens, where that is not for this instance
 */
export function createServer(changed) {
  const mcp = new McpServer(
    { name: 'everything', version: '1.0.0' },
    {
      capabilities: CAPABILITIES,
      requestState: { verify: states.verify },
      cacheHints: {
        'tools/list': CACHE_HINT,
        'prompts/list': CACHE_HINT,
        'resources/list': CACHE_HINT,
        'resources/templates/list': CACHE_HINT,
        'resources/read': CACHE_HINT,
      },
    },
  );
  const { server } = mcp;

  for (const { name, description, inputSchema = { type: 'object' }, call } of tools) {
    mcp.registerTool(name, { description, inputSchema: fromJsonSchema(inputSchema) }, (given, context) =>
      withAnswers(context, (ask) =>
        call(/** @type {Record<string, string>} */ (given), {
          progress: async (progress, total) => {
            const progressToken = context.mcpReq._meta?.progressToken;
            if (progressToken === undefined) return;
            await context.mcpReq.notify({
              method: 'notifications/progress',
              params: { progressToken, progress, total },
            });
          },
          log: (level, data) => context.mcpReq.log(level, data, name),
          ask,
          capabilities: () => ({ ...context.mcpReq.envelope?.[CLIENT_CAPABILITIES] }),
          changed: async (list) => {
            if (changed) changed(list);
            else if (list === 'tools') await server.sendToolListChanged();
            else await server.sendPromptListChanged();
          },
          closeStream: () => {},
        }),
      ),
    );
  }

  server.setRequestHandler('resources/list', () => ({ resources }));
  server.setRequestHandler('resources/templates/list', () => ({ resourceTemplates }));
  server.setRequestHandler('resources/read', ({ params }) => readResource(params.uri, RESOURCE_NOT_FOUND));

  server.setRequestHandler('prompts/list', () => ({
    prompts: prompts.map(({ messages: _, ...prompt }) => prompt),
  }));

  server.setRequestHandler('prompts/get', ({ params }, context) =>
    withAnswers(context, (ask) => getPrompt(params.name, params.arguments ?? {}, { ask })),
  );

  server.setRequestHandler('completion/complete', ({ params: { argument } }) => {
    const values = ARGUMENT_VALUES.filter((value) => value.startsWith(argument.value));
    return { completion: { values, total: values.length, hasMore: false } };
  });

  return mcp;
}

/** Ends a run that has asked what nobody has answered yet. */
class Unanswered {
  /** @param {Record<string, Question>} questions */
  constructor(questions) {
    this.questions = questions;
  }
}

/**
 * @template Result
 * @param {ServerContext} context
 * @param {(ask: Call['ask']) => Result | Promise<Result>} run from its start, each time
 * @returns {Promise<Result | InputRequiredResult>}
 */
async function withAnswers({ mcpReq }, run) {
  /** @type {Record<string, unknown>} */
  const answers = { ...mcpReq.requestState(), ...mcpReq.inputResponses };
  try {
    return await run(async (questions) => {
      const open = Object.entries(questions).filter(([key]) => !isAnswer(answers[key]));
      if (open.length > 0) throw new Unanswered(Object.fromEntries(open));
      return Object.fromEntries(Object.keys(questions).map((key) => [key, answers[key]]));
    });
  } catch (error) {
    if (!(error instanceof Unanswered)) throw error;
    return inputRequired({ inputRequests: error.questions, requestState: await states.mint(answers) });
  }
}

/** @param {unknown} value */
function isAnswer(value) {
  return typeof value === 'object' && value !== null;
}
