import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Without a descriptor for it a connection is closed instead of accepted, and nobody is told. Milliseconds. */
const ACCEPT_WAIT = 1000;

/**
 * Two ends of one local connection, neither of them read: `near` can be passed to one process after the other, `far`
 * is for a child's stdio. Pipes that `spawn` makes are read at once by whoever made them, and cannot be passed on whole.
 * @throws with the system's code
 */
export async function pair(): Promise<{ near: Socket; far: Socket }> {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-session-proxy-'));
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  let far: Socket | undefined;
  let timer: NodeJS.Timeout | undefined;
  try {
    server.listen(join(folder, 'pair'));
    await once(server, 'listening');
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const late = new Promise<never>((_, reject) => {
      const error = Object.assign(new Error('a pipe could not be opened (EMFILE)'), { code: 'EMFILE' });
      timer = setTimeout(() => setImmediate(reject, error), ACCEPT_WAIT);
    });
    far = connect({ path: join(folder, 'pair'), allowHalfOpen: true });
    far.pause();
    const [[near]] = await Promise.all([Promise.race([accepted, late]), once(far, 'connect')]);
    for (const end of [near, far]) end.on('error', () => {}); // whoever has the other copy hears of it
    return { near, far };
  } catch (error) {
    far?.on('error', () => {}).destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
