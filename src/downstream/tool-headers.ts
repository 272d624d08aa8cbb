import { messageOf } from '../errors.js';
import { log } from '../logger.js';
import { ENVELOPE } from '../protocol/envelope.js';
import { isFields, metaOf, type Fields, type Message, type Request } from '../protocol/messages.js';
import { headersOfParams, paramHeadersOf, type ParamHeader } from '../protocol/modern.js';

/** Pages of a server's list that are read, should it never end. */
const MAX_PAGES = 100;

/** Which arguments a server wants declared in headers: known from its tool list, which is asked for when it must be. */
export class ToolHeaders {
  readonly #ask: (request: Request) => Promise<Message>;
  readonly #known = new Map<string, ParamHeader[]>();
  #asking: Promise<void> | undefined;
  #lastId = 0;

  constructor(ask: (request: Request) => Promise<Message>) {
    this.#ask = ask;
  }

  /** The headers of a tool call. A list that cannot be had costs them: then the server says what it misses. */
  async of(call: Request): Promise<Record<string, string>> {
    const name = String(call.params?.name);
    if (!this.#known.has(name)) await this.#list(call.params);
    const declared = this.#known.get(name) ?? [];
    this.#known.set(name, declared); // a tool that is not listed is not looked for again
    return headersOfParams(declared, call.params?.arguments);
  }

  /** The same after the server refused those that were sent. */
  async refresh(call: Request): Promise<Record<string, string>> {
    this.#known.clear();
    return this.of(call);
  }

  /** Takes what a list tells that somebody asked for anyhow. */
  learn({ method }: Request, answer: Message): void {
    if (method !== 'tools/list' || !('result' in answer) || !Array.isArray(answer.result.tools)) return;
    for (const tool of answer.result.tools as unknown[])
      if (isFields(tool)) this.#known.set(String(tool.name), paramHeadersOf(tool.inputSchema));
  }

  async #list(params: Fields | undefined): Promise<void> {
    this.#asking ??= this.#pages(params).finally(() => (this.#asking = undefined));
    await this.#asking.catch((error: unknown) => log.downstream.debug(`tools/list: ${messageOf(error)}`));
  }

  /** @param params of a request, whose client speaks here too */
  async #pages(params: Fields | undefined): Promise<void> {
    const { [ENVELOPE.logLevel]: _, progressToken: __, ...meta } = metaOf(params) ?? {};
    let cursor: unknown;
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const request: Request = {
        jsonrpc: '2.0',
        id: `tools-${++this.#lastId}`,
        method: 'tools/list',
        params: { ...(cursor === undefined ? {} : { cursor }), _meta: meta },
      };
      const answer = await this.#ask(request);
      this.learn(request, answer);
      cursor = 'result' in answer ? answer.result.nextCursor : undefined;
      if (cursor === undefined) return;
    }
  }
}
