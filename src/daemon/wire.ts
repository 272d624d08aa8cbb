import { Agent, request, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';

/** The proxy did not take a request: nothing of it was carried out. */
export class NotTaken extends Error {
  /** Nobody listens there: the proxy does not run. */
  readonly nobody: boolean;

  constructor(cause: unknown) {
    super('The proxy did not take the request.', { cause });
    const { code } = cause as NodeJS.ErrnoException;
    this.nobody = code === 'ENOENT' || code === 'ECONNREFUSED';
  }
}

/** One request on its way. */
export interface Sent {
  /** Resolves when the proxy has it, as its receipt or its answer tells. Rejects with NotTaken when it certainly has not. */
  taken: Promise<void>;
  /** The head of the answer; rejects when the connection breaks before it. */
  response: Promise<IncomingMessage>;
  /** Ends it, whatever it has come to. */
  abort: () => void;
}

export interface Asked {
  method: 'GET' | 'POST';
  path: string;
  headers?: OutgoingHttpHeaders;
  body?: Buffer | string;
  /** Over a connection of its own, which none before it can have used up. */
  alone?: boolean;
}

/** HTTP over the socket of a proxy on this machine. */
export class Wire {
  readonly #socketPath: string;
  readonly #agent = new Agent({ keepAlive: true, maxFreeSockets: 4 });

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  send({ method, path, headers = {}, body, alone = false }: Asked): Sent {
    const outgoing = request({
      socketPath: this.#socketPath,
      agent: alone ? false : this.#agent,
      method,
      path,
      headers: {
        Host: 'localhost',
        ...headers,
        ...(body === undefined
          ? {}
          : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }),
      },
    });
    let received = false;
    const taken = new Promise<void>((resolve, reject) => {
      const take = () => {
        received = true;
        resolve();
      };
      outgoing.once('information', take);
      outgoing.once('response', ({ statusCode }) => {
        // Without a receipt: a proxy that is about to end tells everybody to come back.
        if (statusCode === 503 && !received) reject(new NotTaken(new Error('The proxy is about to end.')));
        else take();
      });
      outgoing.once('error', (error) => reject(new NotTaken(error)));
    });
    const response = new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once('response', resolve);
      outgoing.once('error', reject);
    });
    // Who asks for one of the two alone hears of it there.
    taken.catch(() => {});
    response.catch(() => {});
    outgoing.end(body);
    return { taken, response, abort: () => void outgoing.destroy() };
  }

  /** The whole answer to a request, as text. @throws NotTaken, or what broke the connection */
  async ask(asked: Asked): Promise<{ status: number; text: string }> {
    const { taken, response } = this.send({ ...asked, alone: true });
    await taken;
    const answer = await response;
    return { status: answer.statusCode ?? 0, text: await textOf(answer) };
  }

  /** Ends every connection that nobody uses. */
  close(): void {
    this.#agent.destroy();
  }
}

export async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
