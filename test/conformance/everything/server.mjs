import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import * as mcp from '@modelcontextprotocol/sdk/types.js';
import { ARGUMENT_VALUES, prompts } from './prompts.mjs';
import { readResource, resources, resourceTemplates } from './resources.mjs';
import { tools } from './tools.mjs';

const CAPABILITIES = {
  completions: {},
  logging: {},
  prompts: {},
  resources: { subscribe: true },
  tools: {},
};

/** What the client has to be told only once it asks for it: a lost `logging/setLevel` shows as lost messages. */
const DEFAULT_LOG_LEVEL = 'warning';

/** A server for one session. */
export function createServer() {
  // The high-level class makes input schemas from zod, but the suite wants its own JSON Schema back to the letter.
  const server = new Server({ name: 'everything', version: '1.0.0' }, { capabilities: CAPABILITIES });
  const severities = mcp.LoggingLevelSchema.options;
  let threshold = severities.indexOf(DEFAULT_LOG_LEVEL);
  const subscriptions = new Set();

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
        sample: (request) => server.createMessage(request, { relatedRequestId: extra.requestId }),
        elicit: (request) => server.elicitInput(request, { relatedRequestId: extra.requestId }),
        closeStream: () => extra.closeSSEStream?.(),
      });
    } catch (error) {
      return { isError: true, content: [{ type: 'text', text: /** @type {Error} */ (error).message }] };
    }
  });

  server.setRequestHandler(mcp.ListResourcesRequestSchema, () => ({ resources }));
  server.setRequestHandler(mcp.ListResourceTemplatesRequestSchema, () => ({ resourceTemplates }));
  server.setRequestHandler(mcp.ReadResourceRequestSchema, ({ params }) => readResource(params.uri));

  server.setRequestHandler(mcp.SubscribeRequestSchema, ({ params }) => {
    subscriptions.add(params.uri);
    return {};
  });

  server.setRequestHandler(mcp.UnsubscribeRequestSchema, ({ params }) => {
    // A server need not mind, but then nobody would see that the subscription had been lost on its way here.
    if (!subscriptions.delete(params.uri)) throw invalid(`No subscription to ${params.uri}`);
    return {};
  });

  server.setRequestHandler(mcp.ListPromptsRequestSchema, () => ({
    prompts: prompts.map(({ messages: _, ...prompt }) => prompt),
  }));

  server.setRequestHandler(mcp.GetPromptRequestSchema, ({ params }) => {
    const prompt = find(prompts, params.name, 'prompt');
    const given = params.arguments ?? {};
    const missing = prompt.arguments?.find(({ name, required }) => required && !(name in given));
    if (missing) throw invalid(`Prompt ${prompt.name} needs the argument ${missing.name}`);
    return { messages: prompt.messages(given) };
  });

  server.setRequestHandler(mcp.CompleteRequestSchema, ({ params: { argument } }) => {
    const values = ARGUMENT_VALUES.filter((value) => value.startsWith(argument.value));
    return { completion: { values, total: values.length, hasMore: false } };
  });

  return server;
}

/**
 * @template {{ name: string }} Item
 * @param {Item[]} items
 * @param {string} name
 * @param {string} kind
 */
function find(items, name, kind) {
  const item = items.find((candidate) => candidate.name === name);
  if (!item) throw invalid(`Unknown ${kind}: ${name}`);
  return item;
}

/** @param {string} message */
function invalid(message) {
  return new mcp.McpError(mcp.ErrorCode.InvalidParams, message);
}
