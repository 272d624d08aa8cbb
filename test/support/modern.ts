import type { Fields } from '../../src/protocol/messages.js';
import { eventsOf, RawClient, type Received } from './client.js';

export const VERSION = '2026-07-28';
const KEY = 'io.modelcontextprotocol/';

/** What a request of 2026-07-28 says of its client. */
export function envelope(capabilities: Fields = {}, more: Fields = {}): Fields {
  return {
    [`${KEY}protocolVersion`]: VERSION,
    [`${KEY}clientCapabilities`]: capabilities,
    [`${KEY}clientInfo`]: { name: 'modern', version: '1' },
    ...more,
  };
}

/** A client of 2026-07-28 without any SDK: every id, header and envelope is the test's own choice. */
export class ModernClient {
  readonly raw: RawClient;
  capabilities: Fields = {};
  /** More of `_meta`, by the part of the key after the prefix. */
  logLevel: string | undefined;

  constructor(url: string) {
    this.raw = new RawClient(url);
  }

  /** The params with their envelope; what is given stands above it. */
  params({ _meta, ...params }: Fields = {}): Fields {
    const level = this.logLevel === undefined ? {} : { [`${KEY}logLevel`]: this.logLevel };
    return { ...params, _meta: { ...envelope(this.capabilities, level), ...(_meta as Fields | undefined) } };
  }

  post(
    method: string,
    params: Fields = {},
    headers: Fields = {},
    id: string | number = 1,
  ): Promise<Response> {
    const { name, uri, taskId } = params;
    const named = [name, uri, taskId].find((value) => typeof value === 'string');
    const all = {
      'MCP-Protocol-Version': VERSION,
      'Mcp-Method': method,
      ...(typeof named === 'string' ? { 'Mcp-Name': named } : {}),
      ...headers,
    };
    const kept = Object.entries(all).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    );
    const body = { jsonrpc: '2.0', id, method, params: this.params(params) };
    return this.raw.post(body, Object.fromEntries(kept));
  }

  /** All messages of the answer; the response is the last. */
  async messages(method: string, params: Fields = {}, headers: Fields = {}): Promise<Received[]> {
    return this.raw.read(await this.post(method, params, headers));
  }

  async request(method: string, params: Fields = {}, headers: Fields = {}): Promise<Received> {
    return (await this.messages(method, params, headers)).at(-1) ?? {};
  }

  call(name: string, args: Fields = {}, more: Fields = {}): Promise<Received> {
    return this.request('tools/call', { name, arguments: args, ...more });
  }

  /** A stream of changes; `next` is its next message. */
  async listen(notifications: Fields, id = 'listen') {
    const response = await this.post('subscriptions/listen', { notifications }, {}, id);
    const events = eventsOf(response);
    return {
      next: async (): Promise<Received | undefined> => (await events.next()).value?.message,
      close: () => events.return(undefined),
    };
  }
}
