import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { describe, expect, test } from 'vitest';
import { connectProxy, type SessionHandle } from '../../src/index.js';
import { local } from '../support/proxy.js';
import { codeOf, counter, numberOf, openHere, places } from './support/places.js';

/** What one tool answers an MCP client that connects, calls once and leaves. */
async function callOnce(transport: Transport, name = 'increment'): Promise<number> {
  const client = new Client({ name: 'one-call', version: '1' });
  await client.connect(transport);
  try {
    return numberOf(await client.callTool({ name }));
  } finally {
    await client.close();
  }
}

describe.each(places)('%s', (_, open) => {
  test('M16 a client that connects anew for each call works in the session whose transport it uses', async () => {
    await using place = await open();
    const spaces = [place.proxy.forAgent('alice'), place.proxy.forAgent(), place.proxy.forStore()];
    for (const space of spaces) {
      for (const session of [await space.createSession('work'), await space.createSession()]) {
        const counts = [];
        for (let call = 0; call < 3; call++) counts.push(await callOnce(await session.asTransport()));
        expect(counts).toEqual([1, 2, 3]);
        expect(numberOf(await session.useTool('increment'))).toBe(4);
      }
    }
    expect(await place.proxy.stats()).toMatchObject({ sessions: { active: 6 } });
  });

  test('M16 a transport carries everything a client asks for, and its end leaves the session', async () => {
    await using place = await open({ servers: { talk: local('talkative') } });
    const session = await place.proxy.forAgent('alice').createSession('work');
    const transport = await session.asTransport();
    let closed = 0;
    const client = new Client({ name: 'mine', version: '1' });
    client.onclose = () => (closed += 1);
    await client.connect(transport);
    expect((await client.listTools()).tools.map(({ name }) => name)).toContain('progress');
    const progress: number[] = [];
    await client.callTool({ name: 'progress' }, undefined, {
      onprogress: (told) => progress.push(told.progress),
    });
    expect(progress).toEqual([1, 2, 3]);
    await client.close();
    expect(closed).toBe(1);
    await expect(transport.send({ jsonrpc: '2.0', method: 'ping' })).rejects.toThrow();
    expect((await session.info()).state).toBe('active');
  });
});

test('M16 the address of a session leads MCP clients to it, whoever owns it and whether it has a name', async () => {
  await using place = await openHere({}, true);
  const { proxy } = place;
  const there = connectProxy(proxy.url ?? '');
  const made = [
    await proxy.forAgent().createSession('mine'),
    await proxy.forAgent().createSession(),
    await proxy.forAgent('alice').createSession('work'),
    await proxy.forStore().createSession('work'),
    await there.forAgent('alice').createSession('work'),
    await there.forAgent().createSession('theirs'),
    await there.forStore().createSession(),
  ];
  for (const session of made) {
    const url = await session.url();
    expect(await session.url()).toBe(url);
    const counts = [];
    for (let call = 0; call < 2; call++)
      counts.push(await callOnce(new StreamableHTTPClientTransport(new URL(url))));
    expect([...counts, numberOf(await session.useTool('increment'))], url).toEqual([1, 2, 3]);
  }
  const urls = await Promise.all(made.map((session) => session.url()));
  expect(urls[0]).toBe(`${proxy.url}/s/mine`);
  expect(urls[2]).toBe(`${proxy.url}/s/@${made[2]?.id}`);
  expect(urls[4]).toBe(`${proxy.url}/s/alice.work`);
  const shares = (await made[2]?.events())?.filter(({ type }) => type === 'shared');
  expect(shares).toMatchObject([{ data: { with: ['local'] } }]);
});

test('a proxy that does not listen has no addresses, and says how it would', async () => {
  await using place = await openHere();
  const session = await place.proxy.forAgent().createSession('work');
  expect(place.proxy.url).toBeUndefined();
  expect(await codeOf(session.url())).toBe('NOT_FOUND');
  await expect(session.url()).rejects.toThrow(/listen: true/);
});

describe('with tokens', () => {
  const tokens = [
    { name: 'alice', value: 'the-token-of-alice' },
    { name: 'root', value: 'the-token-of-the-root', admin: true },
  ];
  const openGuarded = () => openHere({ servers: { counter }, auth: { tokens } }, true);
  const connect = (url: string | undefined, token: string) => connectProxy(url ?? '', { token });

  test('M14 over a URL the token says who acts, and its MCP clients have the same sessions', async () => {
    await using place = await openGuarded();
    await using alice = connect(place.proxy.url, 'the-token-of-alice');
    await using root = connect(place.proxy.url, 'the-token-of-the-root');
    const session = await alice.forAgent().createSession('work');
    expect(await session.info()).toMatchObject({ principal: 'token:alice', scope: 'agent' });
    expect([
      await callOnce(await session.asTransport()),
      await callOnce(await session.asTransport()),
    ]).toEqual([1, 2]);
    expect(await root.forAgent().findSession('work')).toBeNull();
    expect(await alice.forAgent().findSession(session.id)).not.toBeNull();
    expect(await codeOf(session.state.set('app:motto', 'mine'))).toBe('FORBIDDEN');
    const shared = await root.forStore().createSession('board');
    const found = await alice.forStore().findSession('board');
    expect(found?.id).toBe(shared.id);
    expect((await alice.forStore().listSessions()).sessions.map(({ name }) => name)).toEqual(['board']);
    expect(await alice.forStore().closeAll()).toBe(1);
    expect(await alice.forAgent().closeAll()).toBe(1);
  });

  test('M15 an agent of this process lets a token’s principal in by an address', async () => {
    await using place = await openGuarded();
    const session = await place.proxy.forAgent('bob').createSession('work');
    await session.useTool('increment');
    const url = new URL(await session.url({ for: ['token:alice'] }));
    const as = (token: string) =>
      new StreamableHTTPClientTransport(url, {
        requestInit: { headers: { Authorization: `Bearer ${token}` } },
      });
    expect(await callOnce(as('the-token-of-alice'))).toBe(2);
    await expect(callOnce(as('the-token-of-the-root'))).rejects.toThrow(/No session is shared with you/);
    await using alice = connect(place.proxy.url, 'the-token-of-alice');
    expect((await alice.forAgent().findSession(`@${session.id}`))?.id).toBe(session.id);
  });

  test('a token that is unknown or missing, and a proxy that is not there, are told apart by their codes', async () => {
    await using place = await openGuarded();
    expect(await codeOf(connect(place.proxy.url, 'a-token-nobody-knows').forAgent().createSession())).toBe(
      'UNAUTHORIZED',
    );
    expect(await codeOf(connectProxy(place.proxy.url ?? '').stats())).toBe('UNAUTHORIZED');
    expect(await codeOf(connectProxy('http://127.0.0.1:9').stats())).toBe('SERVER_UNAVAILABLE');
  });
});

test('the address of the endpoint is found from that of the proxy, of the endpoint or of the API, or given', () => {
  const endpoint = (url: string, given?: string) =>
    connectProxy(url, given === undefined ? {} : { endpoint: given }).url;
  const at = 'http://127.0.0.1:8808';
  expect(
    new Set([at, `${at}/`, `${at}/mcp`, `${at}/mcp/`, `${at}/api/v1`].map((url) => endpoint(url))),
  ).toEqual(new Set([`${at}/mcp`]));
  expect(endpoint(at, `${at}/tools`)).toBe(`${at}/tools`);
});

test('handles say what they are of', async () => {
  await using place = await openHere({ servers: { counter, other: counter } });
  expect(await place.proxy.servers()).toEqual([
    { name: 'counter', kind: 'local', scope: 'session' },
    { name: 'other', kind: 'local', scope: 'session' },
  ]);
  const session: SessionHandle = await place.proxy.forAgent().createSession();
  expect([session.name, session.id]).toEqual([null, expect.stringMatching(/^ses_[\w-]{22}$/)]);
});
