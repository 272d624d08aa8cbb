import type { Command } from 'commander';
import { carry } from './sessions/carry.js';
import { client } from './sessions/client.js';
import { contents } from './sessions/contents.js';
import { group } from './sessions/command.js';
import { life } from './sessions/life.js';
import { look } from './sessions/look.js';
import { servers } from './sessions/servers.js';

/** `mcp-session-proxy sessions …` */
export function addSessions(program: Command): void {
  const command = program
    .command('sessions')
    .alias('session')
    .description('look at and act on sessions, of the proxy that runs or of its store');
  group(look, life, contents, servers, client, carry)(command);
  command.addHelpText(
    'after',
    `
A session is named by its id, its name, or @ and an alias it was shared under.
Tokens belong into the variable MCP_SESSION_PROXY_TOKEN.`,
  );
}
