import type { Clock } from './clock.js';
import { messageOf } from './errors.js';
import { log } from './logger.js';
import type { ProcessMark, Store } from './store/types.js';
import { isRunning, markOf, UNMARKED } from './downstream/process-mark.js';
import { signalMarked } from './downstream/strays.js';

/** How often a proxy looks whether another one on its store has died, milliseconds. */
const LOOK_EVERY = 5000;

/**
 * Enters this process in the store as one that uses it.
 * @param pid of the process whose end ends everything of this one: its own, or its keeper's
 */
export function registerInstance(store: Store, instance: string, at: number, pid = process.pid): void {
  store.processes.registerInstance(instance, markOf(pid) ?? { pid, started: UNMARKED }, at);
}

/** What an earlier worker of the same keeper had becomes this one's. @returns its sessions */
export function succeed(store: Store, instance: string, keeper: number): string[] {
  const mark = markOf(keeper);
  return store.processes
    .instances()
    .filter((one) => one.mark.pid === mark?.pid && one.mark.started === mark.started && one.id !== instance)
    .flatMap(({ id }) => store.processes.takeOver(id, instance));
}

/**
 * Clears up after proxies that died: ends what is left of their children and releases their sessions. A process is
 * touched only when number, start time and boot are those that were written down when we started it, or when it carries
 * the random marker that was in that one's environment.
 */
export function clearLeftovers(store: Store, at: number): void {
  const dead = deadOn(store);
  // Whatever ended them may have harmed the file too: better told now than at some later write.
  if (dead.length > 0) store.check();
  for (const instance of dead) clear(store, instance, at);
}

/**
 * Clears up after others on the same store as soon as they have died, so that their sessions can be used here.
 * @param onfound told when there was something
 * @returns ends the watch
 */
export function watchLeftovers(store: Store, clock: Clock, onfound: () => void): () => void {
  let stop: () => void = () => {};
  const next = () => {
    stop = clock.after(LOOK_EVERY, () => {
      try {
        const dead = deadOn(store);
        for (const instance of dead) clear(store, instance, clock.now());
        if (dead.length > 0) onfound();
      } catch (error) {
        log.downstream.error(`What another proxy left could not be cleared up: ${messageOf(error)}`);
      }
      next();
    });
  };
  next();
  return () => stop();
}

function deadOn(store: Store): string[] {
  return store.processes.instances().flatMap(({ id, mark }) => (isRunning(mark) ? [] : [id]));
}

function clear(store: Store, instance: string, at: number): void {
  const left = store.processes.childrenOf(instance).filter(isRunning);
  for (const child of left) endGroup(child);
  const strays = signalMarked(store.processes.markersOf(instance), 'SIGKILL');
  const sessions = store.sessions.releaseOf(instance, at);
  store.processes.removeInstance(instance);
  log.downstream.info(
    { sessions: sessions.length, processes: left.length + strays.length },
    'Another proxy ended without a word; its sessions go on.',
  );
}

function endGroup({ pid }: ProcessMark): void {
  try {
    // Each child leads a group of its own.
    process.kill(process.platform === 'win32' ? pid : -pid, 'SIGKILL');
  } catch {
    // It left meanwhile.
  }
}
