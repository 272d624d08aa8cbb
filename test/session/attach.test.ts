import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { Principal } from '../../src/auth/principal.js';
import { setLogLevel } from '../../src/logger.js';
import { checkName, newAttachmentKey, newSessionId } from '../../src/session/ids.js';
import { openSqliteStore } from '../../src/store/sqlite.js';
import { TemporaryFolder } from '../support/proxy.js';
import { FakeClient, principal, World } from '../support/world.js';

setLogLevel('silent');

const stranger: Principal = { id: 'stranger', admin: false };
const { client } = new FakeClient({ roots: {} });

test('a client finds its session by its key, also after a restart, as it introduced itself', async () => {
  using world = new World();
  const session = world.session();
  const { attachment } = world.attachments.attach(session, client, true);
  expect(world.attachments.find(attachment.key, principal)?.session).toBe(session);
  await world.manager.stop('was stopped with the proxy');

  const after = new World({ store: world.store, instance: 'next proxy' });
  const found = after.attachments.find(attachment.key, principal);
  expect(found?.session.id).toBe(session.id);
  expect(found?.attachment).toMatchObject({ client, owner: true, stream: attachment.stream });
});

test('a foreign, a closed and an unknown key are told apart by nobody', async () => {
  using world = new World();
  const [open, closed] = [world.session(), world.session()];
  const foreign = world.attachments.attach(open, client, true).attachment.key;
  const ended = world.attachments.attach(closed, client, true).attachment.key;
  await world.manager.close(closed, 'was stopped by the test');
  await world.committed();
  const answers = () => [
    world.attachments.find(foreign, stranger),
    world.attachments.find(ended, principal),
    world.attachments.find('nobody', principal),
    world.attachments.find('', principal),
  ];
  expect(answers()).toEqual([undefined, undefined, undefined, undefined]);
  expect(world.attachments.find(foreign, principal)?.session).toBe(open);
});

test('a foreign key is found by nobody also when the session is not in memory', async () => {
  using world = new World();
  const { key } = world.attachments.attach(world.session(), client, true).attachment;
  await world.manager.stop('was stopped with the proxy');
  const after = new World({ store: world.store, instance: 'next proxy' });
  expect(after.attachments.find(key, stranger)).toBeUndefined();
  expect(after.attachments.find(key, principal)).toBeDefined();
});

test('one name of two principals leads to two sessions', () => {
  using world = new World();
  const mine = world.manager.open(principal, 'work');
  expect(world.manager.open(stranger, 'work').id).not.toBe(mine.id);
  expect(world.manager.open(principal, 'work')).toBe(mine);
});

test('the name of a closed session is free for the next', async () => {
  using world = new World();
  const first = world.session('work');
  await world.manager.close(first, 'was stopped by the test');
  await world.committed();
  expect(world.session('work').id).not.toBe(first.id);
});

test('a client that made its session ends it by leaving, one that joined it leaves it to the others', async () => {
  using world = new World();
  const session = world.session('work');
  const [owner, guest] = [
    world.attachments.attach(session, client, true),
    world.attachments.attach(session, client, false),
  ];
  await world.attachments.detach(guest);
  expect([session.state, world.attachments.find(guest.attachment.key, principal)]).toEqual([
    'idle',
    undefined,
  ]);
  expect(world.attachments.find(owner.attachment.key, principal)?.session).toBe(session);
  await world.attachments.detach(owner);
  await world.committed();
  expect([session.state, world.attachments.find(owner.attachment.key, principal)]).toEqual([
    'closed',
    undefined,
  ]);
});

test('with a client that leaves goes what was kept for it', async () => {
  using world = new World();
  const guest = world.attachments.attach(world.session('work'), client, false);
  const { stream } = guest.attachment;
  world.store.streams.append(stream, 1, '{}', false, 1);
  await world.attachments.detach(guest);
  expect(world.store.streams.tail(stream).seq).toBe(0);
});

test('a client that introduces itself anew is known that way', async () => {
  using world = new World();
  const { attachment } = world.attachments.attach(world.session(), client, true);
  const other = { ...client, clientInfo: { name: 'other', version: '2' }, capabilities: { sampling: {} } };
  world.attachments.introduce(attachment, other);
  await world.manager.stop('was stopped with the proxy');
  const after = new World({ store: world.store, instance: 'next proxy' });
  expect(after.attachments.find(attachment.key, principal)?.attachment.client).toEqual(other);
});

test('a session that another running proxy holds is refused, and said to be', async () => {
  using world = new World({ instance: 'the other' });
  const session = world.session('work');
  await session.request(new FakeClient().call('x'));
  await world.committed();
  const { key } = world.attachments.attach(session, client, true).attachment;
  const here = new World({ store: world.store, instance: 'this one' });
  const refusal = {
    code: 'SESSION_IN_USE',
    message:
      'Session work is in use by another mcp-session-proxy on the same store. ' +
      'Stop that one, or give each a "store" of its own.',
  };
  expect(() => here.session('work')).toThrow(expect.objectContaining(refusal));
  expect(() => here.attachments.find(key, principal)).toThrow(expect.objectContaining(refusal));
});

test('a client’s key is nowhere in the store', () => {
  using folder = new TemporaryFolder();
  const file = join(folder.path, 'sessions.db');
  const world = new World({ store: openSqliteStore(file) });
  const { attachment } = world.attachments.attach(world.session(), client, true);
  world.store.close();
  const bytes = readFileSync(file);
  expect(bytes.includes(attachment.id)).toBe(true);
  expect(bytes.includes(attachment.key)).toBe(false);
});

test('ids and keys are long, random and fit for a header', () => {
  const ids = Array.from({ length: 1000 }, newSessionId);
  const keys = Array.from({ length: 1000 }, newAttachmentKey);
  expect(new Set([...ids, ...keys]).size).toBe(2000);
  for (const id of ids) expect(id).toMatch(/^ses_[\w-]{22}$/);
  for (const key of keys) expect(key).toMatch(/^[\w-]{43}$/);
});

test.each(['work', 'a', 'A.b_c-1', '...a', 'x'.repeat(64), '0'])('%j names a session', (name) => {
  expect(checkName(name)).toBe(name);
});

test.each(['', '.', '..', '...', 'a b', 'a/b', '../a', 'ä', 'a\n', 'x'.repeat(65), 'a:b', '%2e'])(
  '%j names no session, and the message says what does',
  (name) => {
    expect(() => checkName(name)).toThrow(
      expect.objectContaining({
        code: 'SESSION_NAME_INVALID',
        message:
          `"${name.slice(0, 80)}" cannot name a session. ` +
          'Use 1 to 64 letters, digits, dots, underscores and hyphens.',
      }),
    );
  },
);
