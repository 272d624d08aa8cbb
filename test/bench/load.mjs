// The load generator, a process of its own: opens the sessions, warms up, tells the parent, and on its word runs the
// closed loops (one outstanding call a session) and checks every reply. Talks to the parent over the IPC channel.

import { performance } from 'node:perf_hooks';
import { blobText } from './blob.mjs';
import { Fault, HttpSession, StdioSession } from './clients.mjs';

// Opening 64 sessions at once would start 64 processes at once: that measures the machine.
const OPENERS = 4;

const tally = { crossed: 0, lost: 0, failed: 0, messages: [] };

function count(error) {
  tally[error.kind ?? 'failed'] += 1;
  if (tally.messages.length < 5) tally.messages.push(error.message);
}

/** The text must be the one sent, the counter the next of the session's own process, the image whole. */
function check({ content, isError }, sent, client, job) {
  if (isError) throw new Fault('failed', `${sent}: ${JSON.stringify(content).slice(0, 300)}`);
  const [text, image, ...rest] = content;
  const [, nonce, number] = /^(.*) #(\d+)$/.exec(text.text) ?? [];
  const due = client.calls + 1;
  client.calls = Number(number ?? due);
  if (nonce !== sent) throw new Fault('crossed', `sent ${sent}, got ${text.text}`);
  if (job.isolates ? client.calls !== due : client.calls < due)
    throw new Fault('crossed', `${sent}: the process says call ${number}, but it is call ${due}`);
  if (rest.length > 0 || image?.data !== expectedImage)
    throw new Fault('failed', `${sent}: content is not what the server sent`);
}

async function loop(client, job, calls, latencies) {
  for (let i = 0; i < calls && !client.broken; i += 1) {
    const nonce = `${client.name}.${client.sent++}`;
    const start = performance.now();
    try {
      const result = await client.session.call(client.tool, { text: nonce, bytes: job.bytes });
      latencies?.push((performance.now() - start) * 1000);
      check(result, nonce, client, job);
    } catch (error) {
      count(error);
      client.broken = error.kind !== 'crossed';
    }
  }
}

async function open(job) {
  const clients = [];
  let next = 0;
  const opener = async () => {
    while (next < job.sessions) {
      const name = `s${next++}-${Math.random().toString(36).slice(2, 8)}`;
      const session = job.url ? new HttpSession(job.url) : new StdioSession(job.server);
      const client = { name, session, sent: 0, calls: 0, broken: false };
      clients.push(client);
      await session.open();
      client.tool = session.toolName(job.tool);
    }
  };
  await Promise.all(Array.from({ length: OPENERS }, opener));
  return clients;
}

const percentile = (sorted, p) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))];

const word = () => new Promise((resolve) => process.once('message', resolve));

process.on('disconnect', () => process.exit(1));

const job = await word();
const expectedImage = job.bytes && blobText(job.bytes);
const clients = await open(job).catch((error) => {
  process.send({ failed: `opening the sessions: ${error.message}` });
  return word();
});
const everyone = (calls, latencies) =>
  Promise.all(clients.map((client) => loop(client, job, calls / job.sessions, latencies)));

await everyone(job.warmUp);
process.send({ warm: true });
await word();

const latencies = [];
const start = performance.now();
await everyone(job.calls, latencies);
const seconds = (performance.now() - start) / 1000;
latencies.sort((a, b) => a - b);
process.send({
  callsPerSecond: latencies.length / seconds,
  p50: percentile(latencies, 0.5),
  p99: percentile(latencies, 0.99),
  calls: latencies.length,
  tally,
});
await word();
await Promise.all(clients.map(({ session }) => session.close()));
process.exit(0);
