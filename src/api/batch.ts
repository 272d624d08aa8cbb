import type { BatchOptions, Door, ToolResult } from '../admin/door.js';
import type { Fields } from '../protocol/messages.js';
import { outcomesOf, serversOwn, settle, type Outcome } from './outcome.js';

export type { BatchOptions };

/** One of the calls of a batch. */
export interface Call {
  tool: string;
  args?: Fields;
}

export interface CallOptions {
  /** Milliseconds; without it the server's own `timeouts.call` holds alone. */
  timeout?: number;
}

/** Calls several tools of a session; without a session each in a temporary one of its own. */
export async function callAll(
  door: Door,
  session: string | undefined,
  calls: readonly Call[],
  options: BatchOptions,
): Promise<Outcome<ToolResult>[]> {
  if (calls.length === 0) return [];
  if (session === undefined) return callApart(door, calls, options);
  const items = calls.map(({ tool, args }) => ({ tool, ...(args ? { arguments: args } : {}) }));
  return outcomesOf(await door.callMany(session, items, options), serversOwn);
}

async function callApart(
  door: Door,
  calls: readonly Call[],
  { parallel = false, stopOnError = true }: BatchOptions,
): Promise<Outcome<ToolResult>[]> {
  const run = ({ tool, args }: Call) => settle(door.callTool(undefined, tool, args).then(serversOwn));
  if (parallel) return Promise.all(calls.map(run));
  const outcomes: Outcome<ToolResult>[] = [];
  for (const call of calls) {
    const outcome = await run(call);
    outcomes.push(outcome);
    if (stopOnError && (!outcome.ok || outcome.value.isError === true)) break;
  }
  return outcomes;
}
