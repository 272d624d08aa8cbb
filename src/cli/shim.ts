import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { LOCAL_MCP_PATH } from '../admin/api-path.js';
import { findConfigFile, stateFolderOf } from '../config/places.js';
import { asProxyError } from '../errors.js';
import { Carrier } from '../daemon/carrier.js';
import { socketIn, startDaemon } from '../daemon/find.js';
import { Presence } from '../daemon/presence.js';
import { Shim } from '../daemon/shim.js';
import { Wire } from '../daemon/wire.js';
import { VERSION } from '../version.js';
import type { ServeOptions } from './alone.js';

/** Carries a client on this process's pipes to the proxy of its config; the session stays when the client goes. */
export async function runShim({ config, session, http, logLevel }: ServeOptions): Promise<void> {
  const file = resolve(config ?? findConfigFile());
  const folder = stateFolderOf(file);
  const [program = ''] = process.argv.slice(1);
  const args = ['serve', '--config', file, '--as-daemon', '--log-level', logLevel];
  if (http !== undefined) args.push('--http', ...(http === true ? [] : [http]));
  const wire = new Wire(socketIn(folder));
  const presence = new Presence({
    wire,
    version: VERSION,
    program,
    start: () => startDaemon({ folder, program, args }),
    onattach: ({ warnings, url }) => {
      for (const warning of warnings) tell(warning);
      if (http !== undefined && url === null) {
        tell(
          'The daemon of this config was started without --http, so it serves none. To have it serve HTTP too, end it ' +
            `(mcp-session-proxy stop --config ${file}) and start again.`,
        );
      }
    },
  });
  const name = session ?? `stdio-${randomBytes(6).toString('hex')}`;
  const path = `${LOCAL_MCP_PATH}/s/${encodeURIComponent(name)}`;
  const carrier = new Carrier({ wire, presence, path, output: process.stdout });
  // A client that is gone takes nothing any more; one that ends us has gone. What it asked for goes on.
  process.stdout.on('error', () => process.exit());
  process.on('SIGTERM', () => process.exit());
  process.on('SIGINT', () => process.exit());
  try {
    await new Shim({ input: process.stdin, presence, carrier, onproblem: tell }).run();
  } catch (error) {
    throw asProxyError(error, 'SERVER_UNAVAILABLE');
  }
  process.exit();
}

function tell(text: string): void {
  console.error(`mcp-session-proxy: ${text}`);
}
