import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { rounds, tell } from '../support/faults.js';
import { local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';

const SPACE = `msp-${process.pid}`;
const [HERE, THERE] = ['10.213.77.1', '10.213.77.2'];
const [NEAR, FAR] = [`mspn${process.pid}`, `mspf${process.pid}`];

const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' });

/** A host of its own at the other end of a cable that can be pulled out. */
class OtherHost implements Disposable {
  /** @throws where the system does not allow it */
  constructor() {
    ip('netns', 'add', SPACE);
    try {
      ip('link', 'add', NEAR, 'type', 'veth', 'peer', 'name', FAR, 'netns', SPACE);
      ip('addr', 'add', `${HERE}/24`, 'dev', NEAR);
      ip('link', 'set', NEAR, 'up');
      ip('-n', SPACE, 'addr', 'add', `${THERE}/24`, 'dev', FAR);
      ip('-n', SPACE, 'link', 'set', FAR, 'up');
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  run(script: string, ...args: string[]) {
    const command = ['netns', 'exec', SPACE, process.execPath, '-e', script, ...args];
    return spawn('ip', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  }

  vanish(): void {
    ip('-n', SPACE, 'link', 'set', FAR, 'down');
  }

  [Symbol.dispose](): void {
    // At once, and both its ends: the space itself is gone only after a while.
    execFileSync('sh', ['-c', `ip link del ${NEAR} 2>/dev/null; true`]);
    ip('netns', 'del', SPACE);
  }
}

const possible = (() => {
  // It takes as long as the system takes to notice: not beside every other test.
  if (process.platform !== 'linux' || rounds(10) < 10) return false;
  try {
    new OtherHost()[Symbol.dispose]();
    return true;
  } catch {
    return false;
  }
})();

/** One connection that waits for its next request, one that listens, one with a call under way. */
const CLIENT = `
const { Agent, request } = require('node:http');
const [url] = process.argv.slice(1);
const send = (method, headers, body) => new Promise((resolve, reject) => {
  const sent = request(url, { method, agent: new Agent({ keepAlive: true }), headers: { Authorization: 'Bearer secret-of-far-away',
    'Content-Type': 'application/json', Accept: 'application/json, text/event-stream', ...headers } }, resolve);
  sent.on('error', reject);
  sent.end(body && JSON.stringify({ jsonrpc: '2.0', ...body }));
});
(async () => {
  const clientInfo = { name: 'far', version: '1' };
  const begun = await send('POST', {}, { id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo } });
  const id = { 'Mcp-Session-Id': begun.headers['mcp-session-id'] };
  begun.resume();
  (await send('GET', id)).resume();
  const call = await send('POST', id, { id: 2, method: 'tools/call', params: { name: 'sleep', arguments: { ms: 600000 } } });
  call.once('data', () => console.log('there'));
})();
`;

test.runIf(possible)(
  'connections of a host that vanishes without a word are given up',
  { timeout: 120_000 },
  async () => {
    using folder = new TemporaryFolder();
    using host = new OtherHost();
    await using proxy = await ProxyProcess.start(
      folder,
      {
        servers: { counter: local('counter') },
        listen: { allowedHosts: [HERE] },
        auth: { tokens: [{ name: 'far', value: 'secret-of-far-away' }] },
      },
      { args: ['--http', `${HERE}:0`] },
    );
    const { port } = new URL(proxy.url);
    const open = () =>
      String(execFileSync('ss', ['-Htn', 'state', 'established', 'sport', '=', `:${port}`]))
        .split('\n')
        .filter((line) => line !== '').length;
    const client = host.run(CLIENT, proxy.url);
    await once(client.stdout, 'data');
    expect(open()).toBe(3);
    host.vanish();
    const begun = performance.now();
    await until(() => open() === 0);
    client.kill('SIGKILL');
    tell('a host that vanishes', {
      connections: 3,
      'seconds until the last is given up': Math.round((performance.now() - begun) / 1000),
    });
  },
);
