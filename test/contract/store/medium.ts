import type { SessionRow, Store } from '../../../src/store/types.js';
import { TemporaryFolder } from '../../support/proxy.js';

export interface Medium {
  /** Opens the store of that folder. */
  open(folder: TemporaryFolder): Store;
  /** What is in it outlives `close`, and two may have it open at a time. */
  lasting: boolean;
}

/** A store for one test, and more of them in the same place. All are closed and gone at the end. */
export class Place implements Disposable {
  readonly #medium: Medium;
  readonly #folder = new TemporaryFolder();
  readonly #open = new Set<Store>();
  store: Store;

  constructor(medium: Medium) {
    this.#medium = medium;
    this.store = this.another();
  }

  /** Another one who has the same store open. */
  another(): Store {
    const store = this.#medium.open(this.#folder);
    this.#open.add(store);
    return store;
  }

  /** Closed and opened again. */
  reopen(): Store {
    this.store.close();
    this.#open.delete(this.store);
    this.store = this.another();
    return this.store;
  }

  [Symbol.dispose](): void {
    for (const store of this.#open) store.close();
    this.#folder[Symbol.dispose]();
  }
}

/** A session with nothing special about it. */
export function sessionRow(id: string, change: Partial<SessionRow> = {}): SessionRow {
  return {
    id,
    name: null,
    principal: 'local',
    state: 'idle',
    temporary: false,
    instance: null,
    settings: '{}',
    createdAt: 1,
    updatedAt: 1,
    lastActiveAt: 1,
    ...change,
  };
}
