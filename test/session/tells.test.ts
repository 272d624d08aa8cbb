import { expect, test } from 'vitest';
import { setLogLevel } from '../../src/logger.js';
import { slow } from '../support/fake-server.js';
import { FakeClient, World } from '../support/world.js';

setLogLevel('silent');

test('a log message goes to the newest call’s client, or where the wire says', async () => {
  using world = new World({ manners: slow });
  const session = world.session();
  const [first, second] = [new FakeClient(), new FakeClient()];
  void session.request(first.call('first'));
  const server = await world.started();
  const { id } = await server.request();
  void session.request(second.call('second'));
  await server.request('tools/call', 2);
  const message = (data: string) => ({
    jsonrpc: '2.0' as const,
    method: 'notifications/message',
    params: { level: 'info', data },
  });
  server.say(message('to the newest'));
  server.say(message('to the first'), id);
  expect([first.heard, second.heard]).toEqual([[message('to the first')], [message('to the newest')]]);
});

test('notifications that belong to no call reach every client attached to the session', async () => {
  using world = new World({ manners: slow });
  const session = world.session();
  const clients = [new FakeClient(), new FakeClient()];
  for (const client of clients) {
    const { attachment } = world.attachments.attach(session, client.client, false);
    attachment.outlet = client;
  }
  const [caller] = clients;
  if (!caller) throw new Error('nobody');
  void session.request(caller.call('x'));
  const server = await world.started();
  const changed = { jsonrpc: '2.0' as const, method: 'notifications/tools/list_changed' };
  const future = { jsonrpc: '2.0' as const, method: 'notifications/future', params: { a: 1 } };
  await server.request();
  server.say(changed);
  server.say(future);
  expect(clients.map(({ heard }) => heard)).toEqual([
    [changed, future],
    [changed, future],
  ]);
});
