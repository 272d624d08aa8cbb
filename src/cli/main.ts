#!/usr/bin/env node
import { Command, Option, type CommandOptions } from 'commander';
import { LOG_LEVELS } from '../log-levels.js';
import { VERSION } from '../version.js';
import { guarded } from './exit.js';

const program = new Command('mcp-session-proxy')
  .description('Sticky, isolated, durable sessions in front of any MCP server.')
  .version(VERSION)
  .enablePositionalOptions()
  .exitOverride();

/** A command loads what it needs itself: people wait for `sessions ls`. */
const lazily =
  <Options>(load: () => Promise<(options: Options) => Promise<void> | void>) =>
  async (options: Options) =>
    (await load())(options);

const config = () =>
  new Option('-c, --config <file>', 'config file; default: ./mcp-proxy.yaml, then the user config folder');
const level = () =>
  new Option('--log-level <level>', 'what to log on stderr').choices(LOG_LEVELS).default('info');

const serving = (name: string, options: CommandOptions) =>
  program
    .command(name, options)
    .addOption(config())
    .option('--http [host:port]', 'serve Streamable HTTP; default address: listen in the config')
    .option('--stdio', 'serve one client on stdin and stdout; the default when stdin is a pipe')
    .option('--session <name>', 'the session that the client on stdin attaches to')
    .option('--no-daemon', 'serve stdin in this one process: its sessions lose their servers when it ends')
    .addOption(new Option('--as-daemon').hideHelp())
    .option('--no-keeper', 'serve HTTP in one process: its servers and calls under way end with it')
    .addOption(level());

serving('serve', { isDefault: true })
  .description('serve the configured servers over HTTP or stdio')
  .action(lazily(async () => (await import('./serve.js')).serve));

serving('worker', { hidden: true })
  .description('what serve starts, and starts again when it dies')
  .action(lazily(async () => (await import('./worker.js')).work));

program
  .command('check')
  .description('validate the config, start each server once and list what it offers')
  .addOption(config())
  .option('--json', 'print JSON instead of a table')
  .addOption(level().default('error'))
  .action(lazily(async () => (await import('./check.js')).check));

program
  .command('backup <file>')
  .description('save the store to a new file, also while a proxy runs')
  .addOption(config())
  .option('--json', 'print JSON')
  .action(async (file: string, options: { config?: string; json?: true }) => {
    await (await import('./backup.js')).backup(file, options);
  });

const aboutRunning = (name: 'status' | 'stop' | 'upgrade', description: string) =>
  program
    .command(name)
    .description(description)
    .addOption(config())
    .option('--json', 'print JSON')
    .action(lazily(async () => (await import('./running.js'))[name]));

aboutRunning('status', 'say what runs on a config: process, addresses, clients and sessions');
aboutRunning('stop', 'stop the proxy of a config in order');
aboutRunning('upgrade', 'put a new worker in the place of the one that serves; servers and sessions go on');

program
  .command('schema')
  .description('print the JSON Schema of the config file')
  .action(lazily(async () => (await import('./schema.js')).schema));

// What keeps a worker, and what is one, has to do with no other command, and should start and weigh as little as it can.
const [asked = ''] = process.argv.slice(2);
const serves = asked === 'serve' || asked === 'worker' || /^(?!-h$|--help$)-|^$/.test(asked);
if (!serves) (await import('./sessions.js')).addSessions(program);

await guarded(() => program.parseAsync());
