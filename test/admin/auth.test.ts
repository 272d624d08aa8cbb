import { createHash } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { expect, test } from 'vitest';
import type { Fields } from '../../src/protocol/messages.js';
import { RawApi } from '../support/api.js';
import { RawClient } from '../support/client.js';
import { local, ProxyProcess, TemporaryFolder } from '../support/proxy.js';

const servers = { counter: local('counter') };

/** Who a request is from, as the sessions it makes say; or the status it is refused with. */
async function principalOf(api: RawApi, headers: Record<string, string> = {}): Promise<unknown> {
  const { status, body } = await api.ask('POST', '/sessions', {}, headers);
  return status === 201 ? body.principal : status;
}

test('without authentication everybody on this machine is one local principal, who may see all', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers });
  const api = new RawApi(proxy.url);
  expect(await principalOf(api)).toBe('local');
  expect(await principalOf(api, { Authorization: 'Bearer whatever' })).toBe('local');
  expect((await api.ask('GET', '/sessions?all=true')).status).toBe(200);
});

test('a token stands for its name, whether it is given whole, by hash or in a file, here as on the MCP endpoint', async () => {
  using folder = new TemporaryFolder();
  folder.file('token', 'the-token-in-the-file\n');
  const sha256 = createHash('sha256').update('the-token-by-its-hash').digest('hex');
  await using proxy = await ProxyProcess.start(
    folder,
    {
      servers,
      auth: {
        tokens: [
          { name: 'whole', value: '${WHOLE}', admin: true },
          { name: 'hash', sha256 },
          { name: 'file', file: './token' },
        ],
      },
    },
    { env: { WHOLE: 'the-token-as-a-whole' } },
  );
  expect(await principalOf(new RawApi(proxy.url, 'the-token-as-a-whole'))).toBe('token:whole');
  expect(await principalOf(new RawApi(proxy.url, 'the-token-by-its-hash'))).toBe('token:hash');
  expect(await principalOf(new RawApi(proxy.url, 'the-token-in-the-file'))).toBe('token:file');
  expect((await new RawApi(proxy.url, 'the-token-as-a-whole').ask('GET', '/sessions?all=true')).status).toBe(
    200,
  );

  const api = new RawApi(proxy.url);
  const wrong = [{}, { Authorization: 'Bearer nobody' }, { Authorization: 'Basic dGhlOnRva2Vu' }];
  for (const headers of wrong) {
    const refused = await api.ask('GET', '/sessions', undefined, headers);
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
    expect(refused.body.error).toMatchObject({ code: 'UNAUTHORIZED' });
  }
  // Nothing is told to who is not known, not even what there is.
  expect((await api.ask('GET', '/nothing')).status).toBe(401);
  expect((await api.ask('POST', '/sessions', '{"name":')).status).toBe(401);
  expect((await api.ask('GET', '/sessions?access_token=the-token-as-a-whole')).status).toBe(401);
  expect(await (await fetch(new URL('/health', proxy.url))).json()).toEqual({ status: 'ok' });

  // One principal, two doors.
  const client = new RawClient(proxy.url);
  client.headers = { Authorization: 'Bearer the-token-by-its-hash' };
  await client.initialize();
  await client.text('increment');
  const { body } = await new RawApi(proxy.url, 'the-token-by-its-hash').ask('GET', '/sessions?state=active');
  const [session] = body.sessions as Fields[];
  const called = await new RawApi(proxy.url, 'the-token-by-its-hash').ask(
    'POST',
    `/sessions/${String(session?.id)}/tools/increment`,
  );
  expect(called.body.result).toMatchObject({ content: [{ text: '2' }] });
  expect(proxy.stderr).not.toMatch(/the-token/);
});

test('a token of the issuer stands for its subject, and any other is refused', async () => {
  using folder = new TemporaryFolder();
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const other = await generateKeyPair('ES256');
  folder.file('jwks.json', JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'one' }] }));
  const [issuer, audience] = ['https://issuer.example', 'https://proxy.example/mcp'];
  await using proxy = await ProxyProcess.start(folder, {
    servers,
    auth: { jwt: { issuer, audience, jwks: './jwks.json', adminSubjects: ['root'] } },
  });
  type Change = { iss?: string; aud?: string; sub?: string; exp?: string; key?: typeof privateKey };
  const sign = (change: Change = {}) => {
    const { iss = issuer, aud = audience, sub = 'alice', exp = '5m', key = privateKey } = change;
    return new SignJWT()
      .setProtectedHeader({ alg: 'ES256', kid: 'one' })
      .setIssuer(iss)
      .setAudience(aud)
      .setSubject(sub)
      .setExpirationTime(exp)
      .sign(key);
  };
  expect(await principalOf(new RawApi(proxy.url, await sign()))).toBe(`jwt:${issuer}#alice`);
  expect(await principalOf(new RawApi(proxy.url, await sign({ sub: 'bob' })))).toBe(`jwt:${issuer}#bob`);
  const all = async (sub: string) =>
    (await new RawApi(proxy.url, await sign({ sub })).ask('GET', '/sessions?all=true')).status;
  expect([await all('root'), await all('alice')]).toEqual([200, 403]);

  const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(
    JSON.stringify({ iss: issuer, aud: audience, sub: 'root', exp: 4e9 }),
  ).toString('base64url')}.`;
  const refused = {
    'another issuer': await sign({ iss: 'https://evil.example' }),
    'another audience': await sign({ aud: 'https://other.example' }),
    'no time left': await sign({ exp: '-1m' }),
    'another key': await sign({ key: other.privateKey }),
    'no signature': unsigned,
    'no token': 'abc',
  };
  const metadata = new URL('/.well-known/oauth-protected-resource', proxy.url).href;
  for (const [why, token] of Object.entries(refused)) {
    const { status, headers, body } = await new RawApi(proxy.url, token).ask('GET', '/sessions');
    expect([status, headers.get('www-authenticate')], why).toEqual([
      401,
      `Bearer resource_metadata="${metadata}"`,
    ]);
    expect(body.error, why).toMatchObject({ code: 'UNAUTHORIZED' });
  }
  // RFC 9728: whom to ask for a token, told to those who have none.
  for (const at of [metadata, `${metadata}/mcp`])
    expect(await (await fetch(at)).json()).toEqual({
      resource: proxy.url,
      authorization_servers: [issuer],
      bearer_methods_supported: ['header'],
    });
  const endpoint = await fetch(proxy.url, { method: 'POST', body: '{}' });
  expect([endpoint.status, endpoint.headers.get('www-authenticate')]).toEqual([
    401,
    `Bearer resource_metadata="${metadata}"`,
  ]);
});

test('a header that a proxy in front sets names the principal, and must be there once', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers, auth: { trustedHeader: 'X-User' } });
  const api = new RawApi(proxy.url);
  expect(await principalOf(api, { 'X-User': 'alice' })).toBe('header:alice');
  expect(await principalOf(api, {})).toBe(401);
  expect(await principalOf(api, { 'X-User': 'alice, root' })).toBe(401);
  expect((await api.ask('GET', '/sessions?all=true', undefined, { 'X-User': 'alice' })).status).toBe(403);
  expect((await fetch(new URL('/.well-known/oauth-protected-resource', proxy.url))).status).toBe(404);
});
