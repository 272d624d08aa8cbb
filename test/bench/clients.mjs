// One MCP client session, legacy era, over Streamable HTTP or over a child's pipes. Bare Node: the load generator
// shares the machine with what it measures.

import { spawn } from 'node:child_process';
import http from 'node:http';

const PROTOCOL = '2025-11-25';
const PATIENCE_MS = 20_000;

/** `kind` is how the bench counts it: crossed, lost or failed. */
export class Fault extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

/** Looks for a newline in the new chunk only: a 5 MB line arrives in some eighty of them. */
function splitLines(onLine) {
  let tail = '';
  return (chunk) => {
    let start = 0;
    for (let end; (end = chunk.indexOf('\n', start)) !== -1; start = end + 1) {
      const line = tail + chunk.slice(start, end);
      tail = '';
      onLine(line.endsWith('\r') ? line.slice(0, -1) : line);
    }
    tail += chunk.slice(start);
  };
}

class Session {
  // Every session counts from 1, so ids collide across sessions and a relay that trusts them is found out.
  #lastId = 0;
  #tools = [];

  async open() {
    await this.request('initialize', {
      protocolVersion: PROTOCOL,
      capabilities: {},
      clientInfo: { name: 'bench', version: '1.0.0' },
    });
    await this.notify('notifications/initialized');
    this.#tools = (await this.request('tools/list', {})).tools;
  }

  call(tool, args) {
    return this.request('tools/call', { name: tool, arguments: args });
  }

  /** A proxy may prefix the names of its servers' tools. */
  toolName(name) {
    const tool = this.#tools.find((t) => t.name === name) ?? this.#tools.find((t) => t.name.endsWith(name));
    if (!tool) throw new Fault('failed', `tools/list offers no ${name}`);
    return tool.name;
  }

  async request(method, params) {
    this.#lastId += 1;
    const message = { jsonrpc: '2.0', id: this.#lastId, method, params };
    const reply = await this.#within(method, (settle) => this.send(message, settle));
    if (reply.error) throw new Fault('failed', `${method}: ${JSON.stringify(reply.error).slice(0, 300)}`);
    return reply.result;
  }

  notify(method) {
    return this.#within(method, (settle) => this.send({ jsonrpc: '2.0', method }, settle));
  }

  #within(method, start) {
    return new Promise((resolve, reject) => {
      const lost = () => reject(new Fault('lost', `${method}: no answer in ${PATIENCE_MS} ms`));
      const timer = setTimeout(lost, PATIENCE_MS);
      const settled = (how) => (value) => {
        clearTimeout(timer);
        how(value);
      };
      start({ resolve: settled(resolve), reject: settled(reject) });
    });
  }
}

/** Takes one message for the request `id`; what is no response (progress, log messages) passes by. */
function receive(text, id, { resolve, reject }) {
  try {
    const message = JSON.parse(text);
    if (message.method !== undefined) return;
    if (message.id === id) resolve(message);
    else reject(new Fault('crossed', `asked with id ${id}, answered with id ${message.id}`));
  } catch (error) {
    reject(new Fault('failed', `unreadable answer: ${error.message}`));
  }
}

export class HttpSession extends Session {
  #target;
  #agent = new http.Agent({ keepAlive: true });
  #sessionId;

  constructor(url) {
    super();
    const { hostname, port, pathname } = new URL(url);
    this.#target = { hostname, port, path: pathname };
  }

  send(message, settle, again = false) {
    const body = JSON.stringify(message);
    const req = this.#request('POST', {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
      Accept: 'application/json, text/event-stream',
    });
    req.on('response', (res) => this.#read(res, message.id, settle));
    req.on('error', (error) => {
      // The server closed an idle keep-alive socket just as we took it: Node's documented case for one more try.
      if (req.reusedSocket && error.code === 'ECONNRESET' && !again) this.send(message, settle, true);
      else settle.reject(new Fault('failed', `POST: ${error.message}`));
    });
    req.end(body);
  }

  close() {
    return new Promise((resolve) => {
      const done = () => {
        this.#agent.destroy();
        resolve();
      };
      if (this.#sessionId === undefined) return done();
      const req = this.#request('DELETE', {});
      req.on('response', (res) => res.resume().on('close', done));
      req.on('error', done);
      req.end();
    });
  }

  #request(method, headers) {
    if (this.#sessionId !== undefined) {
      headers['Mcp-Session-Id'] = this.#sessionId;
      headers['MCP-Protocol-Version'] = PROTOCOL;
    }
    return http.request({ ...this.#target, method, headers, agent: this.#agent });
  }

  #read(res, id, settle) {
    this.#sessionId ??= res.headers['mcp-session-id'];
    res.setEncoding('utf8');
    res.on('error', (error) => settle.reject(new Fault('lost', `answer broken off: ${error.message}`)));
    if (res.statusCode < 300 && res.headers['content-type']?.startsWith('text/event-stream'))
      return this.#readEvents(res, id, settle);
    let body = '';
    res.on('data', (chunk) => (body += chunk));
    res.on('end', () => {
      if (res.statusCode >= 300)
        settle.reject(new Fault('failed', `HTTP ${res.statusCode}: ${body.slice(0, 300)}`));
      else if (id === undefined) settle.resolve();
      else receive(body, id, settle);
    });
  }

  /** Events without data (a priming event has an id only) carry no message. */
  #readEvents(res, id, settle) {
    let data = [];
    const onLine = (line) => {
      if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5));
      if (line !== '') return;
      const text = data.join('\n');
      data = [];
      if (text !== '') receive(text, id, settle);
    };
    res.on('data', splitLines(onLine));
    res.on('end', () => settle.reject(new Fault('lost', 'the stream ended without the response')));
  }
}

export class StdioSession extends Session {
  #child;
  #waiting = new Map();

  constructor(server) {
    super();
    this.#child = spawn(process.execPath, [server], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout.setEncoding('utf8');
    this.#child.stdout.on(
      'data',
      splitLines((line) => this.#deliver(line)),
    );
    this.#child.on('exit', () => {
      for (const settle of this.#waiting.values()) settle.reject(new Fault('failed', 'the server exited'));
    });
  }

  send(message, settle) {
    this.#child.stdin.write(`${JSON.stringify(message)}\n`);
    if (message.id === undefined) settle.resolve();
    else this.#waiting.set(message.id, settle);
  }

  close() {
    return new Promise((resolve) => {
      if (this.#child.exitCode !== null) return resolve();
      this.#child.on('exit', resolve);
      this.#child.stdin.end();
    });
  }

  /** One call is outstanding at a time, so the oldest waiting id is the one this line must answer. */
  #deliver(line) {
    const [id, settle] = this.#waiting.entries().next().value;
    this.#waiting.delete(id);
    receive(line, id, settle);
  }
}
