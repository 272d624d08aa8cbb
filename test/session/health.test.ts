import { expect, test } from 'vitest';
import { setLogLevel } from '../../src/logger.js';
import { polite, type Manners } from '../support/fake-server.js';
import { FakeClient, lostIn, said, World } from '../support/world.js';

setLogLevel('silent');

const servers = { one: { healthCheck: '1m' } };

/** The first process answers calls and is deaf to pings. */
const deafAtFirst: Manners = (request, connection) =>
  connection.number === 1 && request.method === 'ping' ? undefined : polite(request, connection);

test('G12 a link that died while nobody used it is found before the call, which goes to a new process', async () => {
  using world = new World({ servers, manners: deafAtFirst });
  const [session, client] = [world.session(), new FakeClient()];
  await session.request(client.call('x'));
  world.clock.jump(60_000);
  const call = session.request(client.call('x'));
  await world.connection(1).request('ping');
  await world.clock.advance(5000);
  expect(said(await call)).toMatch(/^2 x$/m);
  expect(lostIn(await call)).toEqual([{ server: 'one', reason: 'did not answer a ping' }]);
  expect(world.connection(1).requests('tools/call')).toHaveLength(1);
});

test('G12 a server that is well is pinged only after it was idle, and its process goes on', async () => {
  using world = new World({ servers });
  const [session, client] = [world.session(), new FakeClient()];
  await session.request(client.call('x'));
  world.clock.jump(59_000);
  await session.request(client.call('x'));
  expect(world.connection(1).requests('ping')).toHaveLength(0);
  world.clock.jump(60_000);
  expect(said(await session.request(client.call('x')))).toBe('1 x');
  expect(world.connection(1).requests('ping')).toHaveLength(1);
});

test('G12 without healthCheck nothing is ever pinged', async () => {
  using world = new World();
  const [session, client] = [world.session(), new FakeClient()];
  await session.request(client.call('x'));
  world.clock.jump(600_000);
  await session.request(client.call('x'));
  expect(world.connection(1).requests('ping')).toHaveLength(0);
});
