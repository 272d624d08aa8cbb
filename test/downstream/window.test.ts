import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { createConnect } from '../../src/downstream/connect.js';
import { setLogLevel } from '../../src/logger.js';
import { PROXY_PROFILE } from '../../src/protocol/client.js';
import { serverConfigs } from '../support/servers.js';
import { runs } from '../support/child.js';
import { until } from '../support/proxy.js';

setLogLevel('silent');

const script = `process.stdin.once('data', (line) => {
  const { id, params } = JSON.parse(line);
  const result = { protocolVersion: params.protocolVersion, capabilities: {}, serverInfo: { name: 'x', version: '1' } };
  process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id, result }) + '\\n', () => process.exit(7));
});`;

test('D1 a server that leaves right after its handshake is told to have left', async () => {
  const [config] = serverConfigs({
    one: { command: process.execPath, args: ['-e', script], cwd: '/tmp' },
  });
  if (!config) throw new Error('no server');
  const connect = createConnect(systemClock, {
    started: () => {},
    ended: () => {},
  });
  const connection = await connect(config, {
    client: PROXY_PROFILE,
    variables: {},
  });
  const { pid } = connection;
  await until(() => pid === undefined || !runs(pid));
  await new Promise((resolve) => setTimeout(resolve, 300));
  const reason = await new Promise<string>((resolve) => {
    connection.listen({
      onmessage: () => {},
      onfailed: () => {},
      onclose: resolve,
    });
    setTimeout(() => resolve('nothing was told'), 1000);
  });
  expect(reason).toBe('exited with code 7');
});
