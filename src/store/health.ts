import type { ProxyError } from '../errors.js';

/** While writes fail, one is tried this often at most, milliseconds. */
const PROBE_EVERY = 2000;

/** Codes of SQLite for a disk that is full or does not do what it should; nothing of them is the statement's fault. */
const MEDIUM = /^SQLITE_(FULL|IOERR|READONLY|CANTOPEN)/;

/** Whether the store can be written, as its last writes have shown. */
export class Health {
  readonly #probe: () => void;
  #failure: ProxyError | undefined;
  #probedAt = 0;

  /** @param probe writes something; throws when it cannot be */
  constructor(probe: () => void) {
    this.#probe = probe;
  }

  /** A write has failed. */
  failed(failure: ProxyError): void {
    if (!MEDIUM.test((failure.cause as { code?: string } | undefined)?.code ?? '')) return;
    this.#failure = failure;
    this.#probedAt = performance.now();
  }

  /** @throws {ProxyError} STORE_FAILED while nothing can be written */
  check(): void {
    if (!this.#failure) return;
    if (performance.now() - this.#probedAt < PROBE_EVERY) throw this.#failure;
    this.#probe();
    this.#failure = undefined;
  }
}
