import { cpSync, existsSync, mkdirSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import type { ServerConfig } from '../config/schema.js';
import type { Fields } from '../protocol/messages.js';
import type { CheckpointRow, Store } from '../store/types.js';
import type { Session } from './session.js';
import { textsOf } from './steps.js';

/** Generation of a server that a fork never had: the first of its own is the one after. */
const SOURCE_GENERATION = 1;

/** Why a fork has another server than its source; completes "the server …". */
const LEFT = 'was left with the session that this one was forked from';

interface House {
  store: Store;
  /** The folder of that owner, made when it is missing. */
  folder: (owner: string) => string;
}

/**
 * Gives a fork what was saved of its source's servers, as copies of its own: captured values, recorded calls, and the
 * files that the steps of `restore` name. The fork's first start of such a server restores them, and says so.
 */
export async function inherit(house: House, source: Session, fork: Session): Promise<void> {
  // What is under way would keep the fork waiting; it starts with what was saved before.
  if (source.idle) await Promise.all([...source.servers.held()].map((binding) => binding.save()));
  const { store } = house;
  for (const config of fork.servers.configs()) {
    if (config.scope !== 'session') continue;
    const saved = store.checkpoints.get(source.id, config.name);
    const recorded = store.checkpoints.recorded(source.id, config.name);
    if (!saved && recorded.length === 0) continue;
    const [from, to] = [house.folder(source.id), house.folder(fork.id)];
    for (const file of filesOf(config, saved, source, from)) copy(join(from, file), join(to, file));
    const [owner, server] = [fork.id, config.name];
    const moved = (text: string) => text.replaceAll(inJson(from), inJson(to));
    await store.write(() => {
      if (saved) store.checkpoints.put({ ...saved, owner, captured: moved(saved.captured) });
      for (const { tool, args } of recorded) store.checkpoints.record(owner, server, tool, moved(args));
      store.bindings.put({ owner, server, generation: SOURCE_GENERATION, ended: LEFT });
    });
    fork.meet({ config, generation: SOURCE_GENERATION, lastEnd: LEFT, restored: undefined });
  }
}

/** Files in the session's folder that its checkpoint is made of, relative to it. */
function filesOf(
  config: ServerConfig,
  saved: CheckpointRow | undefined,
  { id, name }: Session,
  folder: string,
): string[] {
  if (config.kind !== 'local') return [];
  const values = {
    session: { dir: folder, id, name: name ?? id },
    checkpoint: saved ? { slot: saved.slot } : {},
    capture: saved ? (JSON.parse(saved.captured) as Fields) : {},
  };
  const [cwd = folder] = textsOf([config.cwd], values);
  const named = (config.restore?.calls ?? []).flatMap(({ args, ifFile }) => textsOf([args, ifFile], values));
  const files = named.map((text) => relative(folder, resolve(cwd, text)));
  const inside = (file: string) =>
    file !== '' && file.split(sep)[0] !== '..' && existsSync(join(folder, file));
  return [...new Set(files)].filter(inside);
}

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true, mode: 0o700 });
  cpSync(from, to, { recursive: true, dereference: true });
}

/** A text as it stands inside a JSON text. */
function inJson(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}
