// The least a relay can do between Streamable HTTP and one stdio child a session, written the obvious way:
// no checks, no store, no limits. It is the yardstick for cost, so it is not to be made cleverer.
//   node floor.mjs PORT SERVER.mjs

import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

const [port, server] = process.argv.slice(2);
const sessions = new Map();

function open() {
  const session = {
    id: randomUUID(),
    child: spawn(process.execPath, [server]),
    waiting: new Map(),
    lastId: 0,
  };
  let buffer = '';
  session.child.stderr.resume();
  session.child.stdout.setEncoding('utf8');
  session.child.stdout.on('data', (chunk) => {
    buffer += chunk;
    for (let end; (end = buffer.indexOf('\n')) !== -1; buffer = buffer.slice(end + 1)) {
      const message = JSON.parse(buffer.slice(0, end));
      const { id, res } = session.waiting.get(message.id);
      session.waiting.delete(message.id);
      message.id = id;
      res.setHeader('Content-Type', 'application/json');
      res.setHeader('Mcp-Session-Id', session.id);
      res.end(JSON.stringify(message));
    }
  });
  sessions.set(session.id, session);
  return session;
}

function post(session, message, res) {
  if (message.id === undefined) {
    res.writeHead(202).end();
  } else {
    session.lastId += 1;
    session.waiting.set(session.lastId, { id: message.id, res });
    message.id = session.lastId;
  }
  session.child.stdin.write(`${JSON.stringify(message)}\n`);
}

function close(session, res) {
  sessions.delete(session.id);
  session.child.stdin.end();
  res.writeHead(200).end();
}

createServer((req, res) => {
  let body = '';
  req.setEncoding('utf8');
  req.on('data', (chunk) => (body += chunk));
  req.on('end', () => {
    const message = req.method === 'POST' ? JSON.parse(body) : undefined;
    const session = message?.method === 'initialize' ? open() : sessions.get(req.headers['mcp-session-id']);
    if (!session) res.writeHead(404).end();
    else if (message) post(session, message, res);
    else close(session, res);
  });
}).listen(Number(port), '127.0.0.1');
