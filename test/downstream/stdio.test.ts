import { expect, test } from 'vitest';
import { StdioTransport } from '../../src/downstream/stdio.js';
import { setLogLevel } from '../../src/logger.js';
import type { Id, Message } from '../../src/protocol/messages.js';
import { ManualClock } from '../support/clock.js';
import { fixture, TemporaryFolder } from '../support/proxy.js';

setLogLevel('silent');

/** A fixture behind the transport; keeps what it tells. */
class Running implements AsyncDisposable {
  readonly transport: StdioTransport;
  readonly messages: Message[] = [];
  readonly failures: [Id | undefined, string][] = [];
  /** Resolves with the reason when no message will come any more. */
  readonly closed: Promise<string>;
  readonly #folder = new TemporaryFolder();
  #heard = () => {};

  private constructor(name: string, args: string[], maxMessage: number) {
    this.transport = new StdioTransport({
      server: 'one',
      command: process.execPath,
      args: [fixture(name), ...args],
      env: {},
      cwd: this.#folder.path,
      clock: new ManualClock(),
      register: { started: () => {}, ended: () => {} },
      maxMessage,
    });
    this.transport.onmessage = (message) => {
      this.messages.push(message);
      this.#heard();
    };
    this.transport.onfailed = (id, { code, message }) => void this.failures.push([id, `${code} ${message}`]);
    this.closed = new Promise((resolve) => (this.transport.onclose = resolve));
  }

  static async start(name: string, args: string[], maxMessage = 1024): Promise<Running> {
    const running = new Running(name, args, maxMessage);
    await running.transport.start();
    return running;
  }

  /** Starts a process that writes these bytes and leaves, and waits until it has. */
  static async written(bytes: string | Buffer, maxMessage?: number): Promise<Running> {
    const running = await Running.start('writes-bytes', [Buffer.from(bytes).toString('base64')], maxMessage);
    await running.closed;
    return running;
  }

  async message(): Promise<Message | undefined> {
    if (this.messages.length === 0) await new Promise<void>((resolve) => (this.#heard = resolve));
    return this.messages.shift();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.transport.close(true);
    this.#folder[Symbol.dispose]();
  }
}

const line = (message: unknown) => `${JSON.stringify(message)}\n`;
const notification = { jsonrpc: '2.0', method: 'notifications/x', params: { text: 'ä😀\u2028\n' } };
const answer = (id: Id) => ({ jsonrpc: '2.0', id, result: { ok: true } });

test('messages come as they were written, up to the last line before the end', async () => {
  await using running = await Running.written(line(notification) + line(answer(1)) + line(answer('x')));
  expect(running.messages).toEqual([notification, answer(1), answer('x')]);
  expect(await running.closed).toBe('exited with code 0');
});

test('what is no message is passed over and counted, and the rest goes on', async () => {
  await using running = await Running.written(
    `Server ready!\n\n  \nnull\n[]\n42\n{"jsonrpc":"1.0"}\n${line(answer(1))}{broken\n${line(notification)}`,
  );
  expect(running.messages).toEqual([answer(1), notification]);
  expect(running.failures).toEqual([]);
  expect(running.transport.diagnosis()).toBe(
    ' It wrote 7 lines to stdout that are no MCP messages. It exited with code 0.',
  );
});

test('a torn line at the end is no message', async () => {
  await using running = await Running.written(`${line(answer(1))}{"jsonrpc":"2.0","id":2,"resu`);
  expect(running.messages).toEqual([answer(1)]);
});

test('lines with carriage returns are messages', async () => {
  await using running = await Running.written(`${JSON.stringify(answer(1))}\r\n${line(answer(2))}`);
  expect(running.messages).toEqual([answer(1), answer(2)]);
});

const unknown = (id: Id, what: string): [Id, string] => [
  id,
  `OUTCOME_UNKNOWN Server "one" answered with ${what}. Whether the request took effect is unknown.`,
];

test('an answer that cannot be read fails the request it names', async () => {
  const invalid = Buffer.concat([
    Buffer.from('{"jsonrpc":"2.0","id":5,"result":{"text":"'),
    Buffer.from([0xff, 0xfe]),
    Buffer.from('"}}\n'),
  ]);
  await using running = await Running.written(
    Buffer.concat([
      invalid,
      Buffer.from('{"jsonrpc":"2.0","id":6,"result":"text"}\n'),
      Buffer.from('{"jsonrpc":"2.0","id":7,"result":{"a":NaN}}\n'),
      Buffer.from('{"result":{"a":NaN},"jsonrpc":"2.0","id":8}\n'),
      Buffer.from('{"result":{"a":NaN},"id":9,"jsonrpc":"2.0"}\n'),
    ]),
  );
  expect(running.failures).toEqual([
    unknown(5, 'invalid UTF-8'),
    unknown(6, 'Invalid JSON-RPC message: "result" must be an object.'),
    unknown(7, 'a line that is no JSON'),
    unknown(8, 'a line that is no JSON'),
    unknown(9, 'a line that is no JSON'),
  ]);
});

test('an id inside an answer is not taken for the answer’s own', async () => {
  await using running = await Running.written(
    '{"jsonrpc":"2.0","result":{"items":[{"id":5}],"a":NaN}}\n' +
      '{"jsonrpc":"2.0","id":"text","result":{"id":5,"a":NaN}}\n' +
      '{"jsonrpc":"2.0","method":"m","params":{"id":5,"a":NaN},"id":5}\n',
  );
  expect(running.failures).toEqual([]);
});

test('a message that is too long fails its request and nothing else', async () => {
  const long = line({ jsonrpc: '2.0', id: 5, result: { text: 'x'.repeat(5000) } });
  const last = line({ result: { text: 'x'.repeat(5000) }, jsonrpc: '2.0', id: 6 });
  await using running = await Running.written(long + line(answer(7)) + last);
  expect(running.failures).toEqual([
    unknown(5, `a message of ${long.length - 1} bytes, over its limit "maxMessage"`),
    unknown(6, `a message of ${last.length - 1} bytes, over its limit "maxMessage"`),
  ]);
  expect(running.messages).toEqual([answer(7)]);
});

test('a message of exactly the limit is taken', async () => {
  const message = line(answer(1));
  await using running = await Running.written(message, message.length - 1);
  expect([running.messages, running.failures]).toEqual([[answer(1)], []]);
});

test('what is sent arrives line by line, whatever is in it', async () => {
  await using running = await Running.start('counter', []);
  const params = { name: 'echo', arguments: { text: 'a\nb\r\n\u2028"\\😀' } };
  await running.transport.send({ jsonrpc: '2.0', id: 1, method: 'tools/call', params });
  expect(await running.message()).toMatchObject({
    id: 1,
    result: { content: [{ text: params.arguments.text }] },
  });
});

test('a server that does not read its input is busy, and takes up no memory without end', async () => {
  await using running = await Running.start('reads-nothing', []);
  await running.message();
  const params = { text: 'x'.repeat(1024 * 1024) };
  const outcomes = await Promise.allSettled(
    Array.from({ length: 20 }, () => running.transport.send({ jsonrpc: '2.0', method: 'm', params })),
  );
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
  expect(outcomes.length - refused.length).toBeLessThanOrEqual(10);
  expect(refused[0]?.reason).toMatchObject({
    code: 'SERVER_BUSY',
    message: expect.stringMatching(
      /^Server "one" does not read its input: \d+ bytes wait\. Try again later\.$/,
    ) as string,
  });
});

test('to a server that is gone nothing is sent, and its end is told', async () => {
  await using running = await Running.written('');
  await expect(running.transport.send({ jsonrpc: '2.0', method: 'm' })).rejects.toMatchObject({
    code: 'SERVER_UNAVAILABLE',
    message: 'Server "one" takes no more messages. It exited with code 0.',
  });
});
