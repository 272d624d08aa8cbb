import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { findConfigFile, stateFolderOf } from '../config/places.js';
import { ProxyError, messageOf } from '../errors.js';
import { reach, reachOrStart } from '../keeper/find-daemon.js';
import type { DaemonStatus, Hello } from '../keeper/hello.js';
import { Shim } from '../keeper/shim.js';

interface Named {
  config?: string;
}

/** Carries a client on this process's pipes to the daemon of its config; the session stays when the client goes. */
export async function runShim({ config, session }: Named & { session?: string }): Promise<void> {
  const file = resolve(config ?? findConfigFile());
  const folder = stateFolderOf(file);
  const [program = ''] = process.argv.slice(1);
  const args = ['serve', '--config', file, '--daemon-in', folder];
  const name = session ?? `stdio-${randomBytes(6).toString('hex')}`;
  const shim = new Shim(process.stdin, process.stdout, name, () => reachOrStart({ folder, program, args }));
  try {
    await shim.run();
  } catch (error) {
    throw new ProxyError('SERVER_UNAVAILABLE', messageOf(error), { cause: error });
  }
  process.exit();
}

/** `mcp-session-proxy status`. */
export async function status(options: Named): Promise<void> {
  const answer = await ask(options, { want: 'status' });
  if (answer === undefined) return console.log('No daemon runs for this config.');
  const { version, pid, clients, sessions } = JSON.parse(answer) as DaemonStatus;
  console.log(
    `Daemon ${version}, process ${pid}: ${clients} clients, ${sessions} sessions with running servers.`,
  );
}

/** `mcp-session-proxy stop`. */
export async function stop(options: Named): Promise<void> {
  const answer = await ask(options, { want: 'stop' });
  console.log(answer === undefined ? 'No daemon runs for this config.' : 'The daemon stops.');
}

async function ask({ config }: Named, hello: Hello): Promise<string | undefined> {
  const socket = await reach(stateFolderOf(resolve(config ?? findConfigFile())));
  if (!socket) return undefined;
  socket.write(`${JSON.stringify(hello)}\n`);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
