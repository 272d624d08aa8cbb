import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Two ends of one local connection, neither of them read: `near` can be passed to one process after the other, `far`
 * is for a child's stdio. Pipes that `spawn` makes are read at once by whoever made them, and cannot be passed on whole.
 */
export async function pair(): Promise<{ near: Socket; far: Socket }> {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-session-proxy-'));
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  try {
    server.listen(join(folder, 'pair'));
    await once(server, 'listening');
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const far = connect({ path: join(folder, 'pair'), allowHalfOpen: true });
    far.pause();
    const [[near]] = await Promise.all([accepted, once(far, 'connect')]);
    for (const end of [near, far]) end.on('error', () => {}); // whoever has the other copy hears of it
    return { near, far };
  } finally {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
