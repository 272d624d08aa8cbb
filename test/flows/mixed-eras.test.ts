import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { RawClient, textOf, type Received } from '../support/client.js';
import { ModernClient } from '../support/modern.js';
import { local, ProxyProcess, TemporaryFolder } from '../support/proxy.js';

const CALLS = 5000;
const NAMED = 25;
const OTHERS = 25;

/** Calls in flight at a time. */
const BREADTH = 50;

/** One client of either era, in its session. */
interface Client {
  session: string;
  /** Calls a tool; the id is 1 each time. */
  call: (tool: string, args?: Record<string, unknown>) => Promise<Received>;
}

async function legacy(url: string, session: string): Promise<Client> {
  const client = await RawClient.open(url);
  return {
    session,
    call: (tool, args = {}) => client.request('tools/call', { name: tool, arguments: args }, 1),
  };
}

function modern(url: string, session: string): Client {
  const client = new ModernClient(url);
  return { session, call: (tool, args = {}) => client.call(tool, args) };
}

/** Does the work for all items in their order, a bounded number of them at a time. */
async function atATime<T>(count: number, items: T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const worker = async () => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: count }, worker));
}

test(
  'of 5,000 calls of clients of both eras in 50 sessions, all with id 1, no answer is crossed and none is lost',
  { timeout: 120_000 },
  async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: { counter: local('counter') } });
    const address = (session: string) => `${proxy.url}/s/${session}`;
    const names = (prefix: string, count: number) =>
      Array.from({ length: count }, (_, i) => `${prefix}-${i}`);

    // Each named session is used by clients of both eras at once; the others have one client, of either era in turn.
    const clients = await Promise.all([
      ...names('both', NAMED).flatMap((name) => [legacy(address(name), name), modern(address(name), name)]),
      ...names('one', OTHERS).map((name, i) =>
        i % 2 === 0 ? legacy(proxy.url, name) : modern(address(name), name),
      ),
    ]);
    const pids = new Map<string, Set<string>>();
    await Promise.all(
      clients.map(async ({ session, call }) => {
        const seen = pids.get(session) ?? new Set();
        pids.set(session, seen);
        seen.add(textOf(await call('pid')));
      }),
    );
    expect([...pids.values()].map(({ size }) => size)).toEqual(Array<number>(NAMED + OTHERS).fill(1));
    expect(new Set([...pids.values()].flatMap((seen) => [...seen])).size).toBe(NAMED + OTHERS);

    let [crossed, lost] = [0, 0];
    const calls = Array.from({ length: CALLS }, (_, i) => clients[i % clients.length]);
    await atATime(BREADTH, calls, async (client) => {
      const nonce = randomBytes(12).toString('hex');
      const answer = await client?.call('echo', { text: nonce });
      const text = textOf(answer ?? {});
      if (answer?.id === 1 && text === nonce) return;
      if (/^[0-9a-f]{24}$/.test(text)) crossed += 1;
      else lost += 1;
    });
    expect({ crossed, lost }).toEqual({ crossed: 0, lost: 0 });
  },
);
