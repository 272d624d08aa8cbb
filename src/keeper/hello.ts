import type { Socket } from 'node:net';

/** The first line of a connection to a daemon: what is wanted of it. */
export type Hello =
  /** What follows is MCP, one message a line, in the session of that name. */
  { want: 'session'; session: string } | { want: 'status' } | { want: 'stop' };

/** What a daemon says of itself, as one line of JSON. */
export interface DaemonStatus {
  version: string;
  /** Of the process to signal. */
  pid: number;
  /** Connected just now. */
  clients: number;
  /** With running servers. */
  sessions: number;
}

/** A greeting is short; whoever sends more is none of ours. */
const LONGEST = 4096;

const NEWLINE = 0x0a;

/** Takes the first line off a connection; the rest stays to be read. @returns undefined for what is no greeting */
export function readHello(socket: Socket): Promise<Hello | undefined> {
  return new Promise((resolve) => {
    let text = Buffer.alloc(0);
    const take = () => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      text = Buffer.concat([text, chunk]);
      const end = text.indexOf(NEWLINE);
      if (end < 0 && text.length < LONGEST) return;
      socket.off('readable', take);
      socket.unshift(text.subarray(end + 1));
      resolve(parseHello(text.subarray(0, Math.max(end, 0)).toString('utf8')));
    };
    socket.on('readable', take);
    socket.once('close', () => resolve(undefined));
  });
}

function parseHello(line: string): Hello | undefined {
  try {
    const { want, session } = JSON.parse(line) as { want?: unknown; session?: unknown };
    if (want === 'session' && typeof session === 'string') return { want, session };
    return want === 'status' || want === 'stop' ? { want } : undefined;
  } catch {
    return undefined;
  }
}
