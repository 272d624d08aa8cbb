import type { Fields } from '../../src/protocol/messages.js';

/** A message as a test looks at it. */
export interface Received {
  id?: string | number | null;
  method?: string;
  params?: Fields;
  result?: Fields;
  error?: { code: number; message: string; data?: Fields };
}

export interface ServerEvent {
  id: string | undefined;
  message: Received | undefined;
}

/** Reads server-sent events off a response, one at a time. */
export async function* eventsOf(response: Response): AsyncGenerator<ServerEvent, undefined> {
  let text = '';
  if (!response.body) return undefined;
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const lines = text.slice(0, end).split('\n');
      text = text.slice(end + 2);
      const field = (name: string) =>
        lines
          .find((line) => line.startsWith(`${name}:`))
          ?.slice(name.length + 1)
          .trim();
      const data = field('data');
      if (lines.every((line) => line.startsWith(':'))) continue;
      yield { id: field('id'), message: data ? (JSON.parse(data) as Received) : undefined };
    }
  }
  return undefined;
}

/** A Streamable HTTP client without any SDK: every id and header is the test's own choice. */
export class RawClient {
  readonly url: string;
  session: string | undefined;
  version = '2025-11-25';
  headers: Record<string, string> = {};
  #lastId = 0;

  constructor(url: string, session?: string) {
    this.url = url;
    this.session = session;
  }

  async post(body: unknown, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(this.url, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        Accept: 'application/json, text/event-stream',
        ...(this.session === undefined
          ? {}
          : { 'Mcp-Session-Id': this.session, 'MCP-Protocol-Version': this.version }),
        ...this.headers,
        ...headers,
      },
      body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
    });
  }

  /** All messages of an answer, JSON or stream. */
  async read(response: Response): Promise<Received[]> {
    if (!response.headers.get('content-type')?.startsWith('text/event-stream')) {
      const text = await response.text();
      const value = text === '' ? [] : (JSON.parse(text) as Received | Received[]);
      return Array.isArray(value) ? value : [value];
    }
    const messages: Received[] = [];
    for await (const { message } of eventsOf(response)) if (message) messages.push(message);
    return messages;
  }

  async initialize(capabilities: Fields = {}): Promise<Received> {
    const response = await this.post({
      jsonrpc: '2.0',
      id: 'init',
      method: 'initialize',
      params: { protocolVersion: this.version, capabilities, clientInfo: { name: 'raw', version: '1' } },
    });
    this.session = response.headers.get('mcp-session-id') ?? undefined;
    const [answer] = await this.read(response);
    await this.post({ jsonrpc: '2.0', method: 'notifications/initialized' });
    if (!answer) throw new Error('no answer to initialize');
    return answer;
  }

  /** The response to one request. */
  async request(
    method: string,
    params: Fields = {},
    id: string | number = ++this.#lastId,
  ): Promise<Received> {
    const messages = await this.read(await this.post({ jsonrpc: '2.0', id, method, params }));
    const answer = messages.find((message) => message.id === id && !message.method);
    if (!answer) throw new Error(`no answer to ${method}: ${JSON.stringify(messages)}`);
    return answer;
  }

  async call(tool: string, args: Fields = {}): Promise<Received> {
    return this.request('tools/call', { name: tool, arguments: args });
  }

  /** Begins a call, and waits until the server has told of progress. @returns where its stream can be resumed */
  async begin(tool: string, args: Fields, id: string | number): Promise<string> {
    const params = { name: tool, arguments: args, _meta: { progressToken: id } };
    const response = await this.post({ jsonrpc: '2.0', id, method: 'tools/call', params });
    for await (const { id: event, message } of eventsOf(response)) {
      if (message?.method === 'notifications/progress') return event ?? '';
    }
    throw new Error('the call ended before the server told of progress');
  }

  /** The text of a tool's answer. */
  async text(tool: string, args: Fields = {}): Promise<string> {
    return textOf(await this.call(tool, args));
  }

  /** The client's own stream, or a broken one resumed. */
  async stream(lastEventId?: string): Promise<Response> {
    return fetch(this.url, {
      headers: {
        Accept: 'text/event-stream',
        ...(this.session === undefined ? {} : { 'Mcp-Session-Id': this.session }),
        'MCP-Protocol-Version': this.version,
        ...(lastEventId === undefined ? {} : { 'Last-Event-ID': lastEventId }),
      },
    });
  }

  async delete(): Promise<Response> {
    return fetch(this.url, {
      method: 'DELETE',
      headers: this.session === undefined ? {} : { 'Mcp-Session-Id': this.session },
    });
  }

  static async open(url: string, capabilities: Fields = {}): Promise<RawClient> {
    const client = new RawClient(url);
    await client.initialize(capabilities);
    return client;
  }
}

/** All text of a tool result, or of the error that came instead. */
export function textOf({ result, error }: Received): string {
  if (error) return `error ${error.code}: ${error.message}`;
  const content = (result?.content ?? []) as { type: string; text?: string }[];
  return content.map(({ text }) => text ?? '').join('\n');
}

/** Everything a generator yields. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
