import type { Fields } from '../../src/protocol/messages.js';
import { polite, text, type FakeConnection, type Manners } from './fake-server.js';

/** A server that keeps notes in memory, can save them to a disk of two slots, and loses them in every way there is. */
export class Notebook {
  /** What is saved, by slot. */
  readonly disk = new Map<unknown, string[]>();
  /** Tool calls in the order they came, as `generation tool`. */
  readonly calls: string[] = [];
  /** Tools that fail. */
  readonly failing = new Set<string>();
  readonly #notes = new Map<FakeConnection, string[]>();

  readonly manners: Manners = (request, connection) => {
    const { method, params } = request;
    if (method === 'tools/list')
      return { tools: [{ name: 'list', inputSchema: {}, annotations: { readOnlyHint: true } }] };
    if (method !== 'tools/call') return polite(request, connection);
    const tool = String(params?.name);
    this.calls.push(`${connection.number} ${tool}`);
    if (this.failing.has(tool)) return { ...text(`${tool} failed`), isError: true };
    return text(this.#answer(tool, (params?.arguments ?? {}) as Fields, connection));
  };

  /** The server of that start loses its notes without a word. */
  wipe(connection: FakeConnection): void {
    this.#notes.delete(connection);
  }

  #answer(tool: string, { note, slot }: Fields, connection: FakeConnection): string {
    const notes = this.#notes.get(connection) ?? [];
    this.#notes.set(connection, notes);
    switch (tool) {
      case 'add':
        notes.push(String(note));
        break;
      case 'save':
        this.disk.set(slot, [...notes]);
        break;
      case 'load':
        notes.splice(0, notes.length, ...(this.disk.get(slot) ?? ['nothing there']));
        break;
      case 'clear':
        notes.length = 0;
        break;
      case 'break':
        notes.length = 0;
        return 'Error: the notebook is closed';
    }
    return `${notes.length} notes\n${notes.map((one) => `- ${one}`).join('\n')}`;
  }
}

/** How a notebook is saved and restored. */
export const KEPT = {
  concurrency: 1,
  checkpoint: {
    after: ['add'],
    dropAfter: ['clear'],
    calls: [
      { tool: 'save', args: { slot: '${checkpoint.slot}' } },
      { tool: 'list', capture: { notes: { regex: '^- (.*)$', all: true } } },
    ],
  },
  restore: {
    calls: [{ tool: 'load', if: 'checkpoint.slot', args: { slot: '${checkpoint.slot}' } }],
    note: 'The cursor is lost.',
  },
  lostWhen: ['notebook is closed'],
  probe: { tool: 'list', lostIf: '^0 notes' },
};
