import { API_PATH } from '../../src/admin/api-path.js';
import type { Fields } from '../../src/protocol/messages.js';

export interface Answered {
  status: number;
  headers: Headers;
  /** As it came. */
  text: string;
  body: Fields;
}

/** The HTTP API without any client: every byte is the test's own. */
export class RawApi {
  readonly #base: string;
  readonly #headers: Record<string, string>;

  /** @param url of the MCP endpoint */
  constructor(url: string, token?: string) {
    this.#base = new URL(API_PATH, url).href;
    this.#headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  }

  /** @param body sent as JSON, or text as it is */
  async ask(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answered> {
    const response = await this.send(method, path, body, headers);
    const text = await response.text();
    const json = response.headers.get('content-type') === 'application/json';
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: json ? (JSON.parse(text) as Fields) : {},
    };
  }

  send(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
    signal?: AbortSignal,
  ): Promise<Response> {
    return fetch(this.#base + path, {
      method,
      headers: {
        ...this.#headers,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    });
  }
}
