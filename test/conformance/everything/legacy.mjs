import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import * as mcp from '@modelcontextprotocol/sdk/types.js';
import { ARGUMENT_VALUES, getPrompt, prompts } from './prompts.mjs';
import { find, Refusal } from './refusal.mjs';
import { readResource, resources, resourceTemplates } from './resources.mjs';
import { tools } from './tools.mjs';

/**
 * @import { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js'
 * @import { Call } from './tools.mjs'
 */

const CAPABILITIES = {
  completions: {},
  logging: {},
  prompts: { listChanged: true },
  resources: { subscribe: true },
  tools: { listChanged: true },
};

/** What the client has to be told only once it asks for it: a lost `logging/setLevel` shows as lost messages. */
const DEFAULT_LOG_LEVEL = 'warning';

const RESOURCE_NOT_FOUND = -32002;

/** What a client must be able to do to be asked, and what it answers then. */
const QUESTIONS = {
  'elicitation/create': { capability: 'elicitation', answer: mcp.ElicitResultSchema },
  'roots/list': { capability: 'roots', answer: mcp.ListRootsResultSchema },
  'sampling/createMessage': { capability: 'sampling', answer: mcp.CreateMessageResultSchema },
};

/** A server of revision 2025-11-25 for one session. What it needs to know it asks by requests of its own. */
export function createServer() {
  // The high-level class makes input schemas from zod, but the suite wants its own JSON Schema back to the letter.
  const server = new Server({ name: 'everything', version: '1.0.0' }, { capabilities: CAPABILITIES });
  const severities = mcp.LoggingLevelSchema.options;
  let threshold = severities.indexOf(DEFAULT_LOG_LEVEL);
  const subscriptions = new Set();

  /** @returns {Record<string, unknown>} */
  const capabilities = () => ({ ...server.getClientCapabilities() });

  /**
   * @param {RequestHandlerExtra<mcp.ServerRequest, mcp.ServerNotification>} extra
   * @returns {Call['ask']}
   */
  const asker = (extra) => async (questions) => {
    const answers = Object.entries(questions).map(async ([key, question]) => {
      const { capability, answer } = QUESTIONS[question.method];
      if (!(capability in capabilities())) throw new Error(`The client has not declared ${capability}`);
      return [key, await extra.sendRequest(/** @type {mcp.ServerRequest} */ (question), answer)];
    });
    return Object.fromEntries(await Promise.all(answers));
  };

  server.setRequestHandler(mcp.SetLevelRequestSchema, ({ params }) => {
    threshold = severities.indexOf(params.level);
    return {};
  });

  server.setRequestHandler(mcp.ListToolsRequestSchema, () => ({
    tools: tools.map(({ call: _, ...tool }) => ({ inputSchema: { type: 'object' }, ...tool })),
  }));

  server.setRequestHandler(mcp.CallToolRequestSchema, async ({ params }, extra) => {
    const tool = find(tools, params.name, 'tool');
    try {
      return await tool.call(/** @type {Record<string, string>} */ (params.arguments ?? {}), {
        progress: async (progress, total) => {
          const progressToken = params._meta?.progressToken;
          if (progressToken === undefined) return;
          await extra.sendNotification({
            method: 'notifications/progress',
            params: { progressToken, progress, total },
          });
        },
        log: async (level, data) => {
          if (severities.indexOf(level) < threshold) return;
          await extra.sendNotification({
            method: 'notifications/message',
            params: { level, logger: tool.name, data },
          });
        },
        ask: asker(extra),
        capabilities,
        changed: (list) => (list === 'tools' ? server.sendToolListChanged() : server.sendPromptListChanged()),
        closeStream: () => extra.closeSSEStream?.(),
      });
    } catch (error) {
      return { isError: true, content: [{ type: 'text', text: /** @type {Error} */ (error).message }] };
    }
  });

  server.setRequestHandler(mcp.ListResourcesRequestSchema, () => ({ resources }));
  server.setRequestHandler(mcp.ListResourceTemplatesRequestSchema, () => ({ resourceTemplates }));
  server.setRequestHandler(mcp.ReadResourceRequestSchema, ({ params }) =>
    readResource(params.uri, RESOURCE_NOT_FOUND),
  );

  server.setRequestHandler(mcp.SubscribeRequestSchema, ({ params }) => {
    subscriptions.add(params.uri);
    return {};
  });

  server.setRequestHandler(mcp.UnsubscribeRequestSchema, ({ params }) => {
    // A server need not mind, but then nobody would see that the subscription had been lost on its way here.
    if (!subscriptions.delete(params.uri)) throw new Refusal(`No subscription to ${params.uri}`);
    return {};
  });

  server.setRequestHandler(mcp.ListPromptsRequestSchema, () => ({
    prompts: prompts.map(({ messages: _, ...prompt }) => prompt),
  }));

  server.setRequestHandler(mcp.GetPromptRequestSchema, ({ params }, extra) =>
    getPrompt(params.name, params.arguments ?? {}, { ask: asker(extra) }),
  );

  server.setRequestHandler(mcp.CompleteRequestSchema, ({ params: { argument } }) => {
    const values = ARGUMENT_VALUES.filter((value) => value.startsWith(argument.value));
    return { completion: { values, total: values.length, hasMore: false } };
  });

  return server;
}
