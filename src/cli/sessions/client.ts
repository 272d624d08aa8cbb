import { Option } from 'commander';
import type { Door, SessionView } from '../../admin/door.js';
import { loadConfig } from '../../config/load.js';
import { findConfigFile } from '../../config/places.js';
import { runCommand } from '../../downstream/command.js';
import { reachEndpoint } from '../reach.js';
import { endpointAt, group, verb, type CommonOptions } from './command.js';

interface RunOptions extends CommonOptions {
  session: string;
  keep?: boolean;
}

const url = verb({
  usage: 'url <session>',
  summary: 'print the address under which MCP clients reach a session',
  running: () => true,
  run: async (door, options: CommonOptions, ref) =>
    `${await endpointOf(options)}/s/${ref.startsWith('@') ? ref : await addressOf(door, await door.info(ref))}`,
  text: (address) => address,
});

const run = verb({
  usage: 'run <command> [args...]',
  synopsis: '--session <name> -- <command> [args...]',
  summary: 'run a command that finds the address of a session in the variable MCP_SESSION_URL',
  options: [
    new Option(
      '--session <name>',
      'that session; one that is made for this is closed at the end',
    ).makeOptionMandatory(),
    new Option('--keep', 'leave it open'),
  ],
  running: () => true,
  run: async (door, options: RunOptions, command, ...args) => {
    const endpoint = await endpointOf(options);
    const session = await door.getOrCreate({ name: options.session });
    const address = `${endpoint}/s/${await addressOf(door, session)}`;
    const passing = !session.existed && options.keep !== true;
    try {
      process.exitCode = await runCommand(command, args, { ...process.env, MCP_SESSION_URL: address });
    } finally {
      if (passing) await door.close(session.id);
    }
    return { id: session.id, url: address, exitCode: process.exitCode, closed: passing };
  },
  text: () => '',
});

/** What brings MCP clients into a session. */
export const client = group(run, url);

async function endpointOf({ url: given, config }: CommonOptions): Promise<string> {
  return given === undefined ? reachEndpoint(loadConfig(config ?? findConfigFile())) : endpointAt(given);
}

/** What stands after `/s/`: the name of an agent's session; what has none, or is everybody's, is reached by its id. */
async function addressOf(door: Door, { id, name, scope, principal }: SessionView): Promise<string> {
  if (scope === 'agent' && name !== null) return name;
  await door.share(id, id, [principal]);
  return `@${id}`;
}
