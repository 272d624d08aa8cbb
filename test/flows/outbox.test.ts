import Database from 'better-sqlite3';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventsOf, RawClient, textOf } from '../support/client.js';
import { local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';
import { killWorker } from '../support/worker.js';

const servers = { flood: local('floods-client') };

/** Takes so many messages off a stream. @returns them, and where the next are to be had */
async function take(response: Response, most: number) {
  const heard: unknown[] = [];
  let id: string | undefined;
  for await (const event of eventsOf(response)) {
    id = event.id ?? id;
    if (event.message) heard.push(event.message.params?.progress ?? textOf(event.message));
    if (heard.length === most) break;
  }
  return { heard, id };
}

const flood = (messages: number) => ({
  jsonrpc: '2.0',
  id: 'flood',
  method: 'tools/call',
  params: { name: 'flood', arguments: { messages, size: 1000 }, _meta: { progressToken: 'p' } },
});

const numbers = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);

test('a stream is replayed once and in order after its connection broke, and again after a crash', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers });
  const client = await RawClient.open(proxy.url);
  const first = await take(await client.post(flood(300)), 50);
  const second = await take(await client.stream(first.id), 100);
  await until(async () => (await client.text('flooded')) === '300');
  await client.text('pid');
  await killWorker(proxy);
  const third = await take(await client.stream(second.id), 1000);
  expect([...first.heard, ...second.heard, ...third.heard]).toEqual([...numbers(1, 300), 'flooded']);
});

test('of a stream that nobody reads as much is kept as sessions.outbox says, and its end always', async () => {
  using folder = new TemporaryFolder();
  const outbox = { messages: 20, bytes: '1MiB' };
  await using proxy = await ProxyProcess.start(folder, { servers, sessions: { outbox } });
  const client = await RawClient.open(proxy.url);
  const { heard, id } = await take(await client.post(flood(500)), 1);
  expect(heard).toHaveLength(1); // not the first, if the flood was ten times the limit ahead of the reader
  await until(async () => (await client.text('flooded')) === '500');
  const kept = () => {
    const db = new Database(join(folder.path, 'store.db'), { readonly: true });
    try {
      return Number(db.prepare("SELECT count(*) FROM outbox WHERE data LIKE '%progress%'").pluck().get());
    } finally {
      db.close();
    }
  };
  await until(() => kept() <= 22);
  const rest = await take(await client.stream(id), 1000);
  expect(rest.heard.at(-1)).toBe('flooded');
  const replayed = rest.heard.slice(0, -1);
  expect(replayed).toEqual(numbers(501 - replayed.length, 500));
});
