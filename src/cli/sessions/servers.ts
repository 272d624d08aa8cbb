import { Option } from 'commander';
import type { SessionView, ToolCall } from '../../admin/door.js';
import { ProxyError } from '../../errors.js';
import { isFields } from '../../protocol/messages.js';
import { EXIT_FAILED } from '../exit.js';
import { oneLine, table } from '../table.js';
import { given, group, parseJson, repeatable, verb } from './command.js';
import { LONGEST_CELL, answered, plain, told } from './text.js';

interface CallOptions {
  args?: string;
  temp?: boolean;
}

interface BatchFlags {
  parallel?: boolean;
  keepGoing?: boolean;
}

const call = verb({
  usage: 'call <session> [tool]',
  synopsis: '<session> <tool> | --temp <tool>',
  summary: 'call a tool in a session, or in one that lasts for this call',
  options: [
    new Option('--args <json>', 'its arguments, a JSON object; - reads standard input'),
    new Option('--temp', 'in a session of its own, gone with the answer'),
  ],
  run: async (door, { args, temp = false }: CallOptions, ...words) => {
    const [tool, ref] = words.reverse();
    if (tool === undefined || (ref === undefined) !== temp) {
      throw new ProxyError('INVALID_PARAMS', 'Name a session and a tool, or --temp and a tool.');
    }
    const values = args === undefined ? {} : parseJson(given(args), '--args');
    if (!isFields(values)) throw new ProxyError('INVALID_PARAMS', '--args must be a JSON object.');
    const result = await door.callTool(ref, tool, values);
    if (result.isError === true) process.exitCode = EXIT_FAILED;
    return result;
  },
  text: answered,
});

const batch = verb({
  usage: 'batch <session> <calls>',
  summary: 'make several calls, a JSON list of { tool, arguments }; - reads standard input',
  options: [
    new Option('--parallel', 'all at once'),
    new Option('--keep-going', 'go on after one that failed').conflicts('parallel'),
  ],
  run: async (door, { parallel = false, keepGoing = false }: BatchFlags, ref, calls) => {
    const results = await door.callMany(ref, toCalls(given(calls)), { parallel, stopOnError: !keepGoing });
    if (results.some((result) => !result.ok || result.value.isError === true)) {
      process.exitCode = EXIT_FAILED;
    }
    return results;
  },
  text: (results) =>
    results
      .map((result, index) => `${index + 1}: ${result.ok ? answered(result.value) : result.error.message}`)
      .join('\n'),
});

const tools = verb({
  usage: 'tools <session>',
  summary: 'list the tools of a session, starting its servers',
  run: (door, _, ref) => door.listTools(ref),
  text: (list) =>
    list.length === 0
      ? 'No tools.'
      : table([
          ['TOOL', 'DESCRIPTION'],
          ...list.map(({ name, description }) => [plain(name), oneLine(plain(description), LONGEST_CELL)]),
        ]),
});

const ping = verb({
  usage: 'ping <session> [server]',
  summary: 'start the servers of a session, or one, and ask each whether it is there',
  run: async (door, _, ref, server?: string) => {
    const answers = await door.ping(ref, server);
    if (answers.some(({ ok }) => !ok)) process.exitCode = EXIT_FAILED;
    return answers;
  },
  text: (answers) =>
    answers
      .map(({ server, ok, ms, error = '' }) =>
        ok ? `${server} is there (${ms} ms).` : `${server}: ${error}`,
      )
      .join('\n'),
});

const bind = verb({
  usage: 'bind <session> <server>',
  summary: 'add a server to a session and start it',
  run: (door, _, ref, server) => door.bind(ref, server),
  text: linked,
});

const unbind = verb({
  usage: 'unbind <session> <server>',
  summary: 'take a server away from a session and stop it',
  run: (door, _, ref, server) => door.unbind(ref, server),
  text: linked,
});

const reinitialize = verb({
  usage: 'reinitialize <session> <server> [args...]',
  summary:
    'replace one server by one with other arguments (after --) or environment; the old one stays if that fails',
  options: [repeatable('--env <name=value>', 'a variable of its environment; NAME alone takes your own')],
  run: (door, { env }: { env?: string[] }, ref, server, ...args) =>
    door.reinitialize(ref, server, {
      ...(args.length > 0 ? { args } : {}),
      ...(env ? { env: Object.fromEntries(env.map(toVariable)) } : {}),
    }),
  text: ({ oldBindingId, newBindingId }) => `${newBindingId} took the place of ${oldBindingId}.`,
});

const clearCache = verb({
  usage: 'clear-cache <session>',
  summary: 'forget what is known of the lists of its servers',
  run: (door, _, ref) => door.clearCache(ref),
  text: () => 'Forgotten: the next list asks the servers.',
});

export const servers = group(call, batch, tools, ping, bind, unbind, reinitialize, clearCache);

function linked(session: SessionView): string {
  const links = session.bindings.map(({ server, state }) => `${server} ${state}`);
  return `${told(session)} Servers: ${links.join(', ') || 'none'}.`;
}

function toCalls(text: string): ToolCall[] {
  const list = parseJson(text, 'The list of calls');
  const items: unknown[] = Array.isArray(list) ? list : [];
  const calls = items.flatMap((item) => {
    if (!isFields(item) || typeof item.tool !== 'string') return [];
    if (item.arguments === undefined) return { tool: item.tool };
    return isFields(item.arguments) ? { tool: item.tool, arguments: item.arguments } : [];
  });
  if (calls.length > 0 && calls.length === items.length) return calls;
  throw new ProxyError(
    'INVALID_PARAMS',
    'The calls must be a list like [{ "tool": "NAME", "arguments": {} }], with at least one.',
  );
}

function toVariable(given: string): [string, string] {
  const [name = '', ...rest] = given.split('=');
  const value = rest.length > 0 ? rest.join('=') : process.env[name];
  if (name !== '' && value !== undefined) return [name, value];
  throw new ProxyError('INVALID_PARAMS', `--env ${given}: the variable is not set. Write NAME=VALUE.`);
}
