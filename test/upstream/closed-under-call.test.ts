import { expect, test } from 'vitest';
import { eventsOf, RawClient } from '../support/client.js';
import { local, ProxyProcess, TemporaryFolder } from '../support/proxy.js';

test('B15 a request under way when somebody else closes its session is answered', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { counter: local('counter') } });
  const client = await RawClient.open(proxy.url);
  await client.text('get');
  const response = await client.post({
    jsonrpc: '2.0',
    id: 'slow',
    method: 'tools/call',
    params: { name: 'sleep', arguments: { ms: 60_000 } },
  });
  const events = eventsOf(response);
  await events.next(); // the priming event: the call is on its way
  await new RawClient(proxy.url, client.session).delete();
  const { value } = (await events.next()) as { value?: { message?: unknown } };
  expect(value?.message).toMatchObject({ id: 'slow', error: { data: { code: 'SESSION_CLOSED' } } });
});
