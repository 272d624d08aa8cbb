import Database from 'better-sqlite3';
import { closeSync, existsSync, openSync, renameSync, rmSync } from 'node:fs';
import { ProxyError, asProxyError, messageOf } from '../errors.js';

/**
 * Copies a store as it is at one moment, also while proxies write to it, and looks whether the copy is sound.
 * @param to must not exist; it does when this resolves, and never as half a copy
 * @throws {ProxyError} STORE_FAILED; NOT_FOUND where there is no store; INVALID_PARAMS where `to` exists
 */
export async function backupStore(from: string, to: string): Promise<{ pages: number }> {
  if (!existsSync(from)) {
    throw new ProxyError('NOT_FOUND', `There is no store ${from} yet: nothing has to be saved.`);
  }
  if (existsSync(to)) {
    throw new ProxyError('INVALID_PARAMS', `${to} exists already and is not overwritten. Name another file.`);
  }
  const unfinished = `${to}.unfinished`;
  begin(from, unfinished);
  try {
    const pages = await copy(from, unfinished);
    renameSync(unfinished, to);
    return { pages };
  } catch (error) {
    rmSync(unfinished, { force: true });
    if (error instanceof ProxyError) throw error;
    throw failed(from, error);
  }
}

/** Two who save to one file at once must not share it. It holds what sessions hold: for this user's eyes from the start. */
function begin(from: string, unfinished: string): void {
  try {
    closeSync(openSync(unfinished, 'wx', 0o600));
  } catch (error) {
    throw failed(from, error);
  }
}

function failed(from: string, error: unknown): ProxyError {
  const text = `The store ${from} could not be saved: ${messageOf(error)}. Nothing was changed.`;
  return new ProxyError('STORE_FAILED', text, { cause: asProxyError(error) });
}

async function copy(from: string, to: string): Promise<number> {
  const db = new Database(from, { readonly: true, fileMustExist: true });
  try {
    const { totalPages } = await db.backup(to);
    const saved = new Database(to);
    try {
      // The copy is one file: what a journal of its own would hold is in it.
      saved.pragma('journal_mode = DELETE');
      const found = String(saved.pragma('quick_check(1)', { simple: true }));
      if (found === 'ok') return totalPages;
      throw new ProxyError('STORE_FAILED', `The store ${from} is damaged: ${found}. No copy was kept.`);
    } finally {
      saved.close();
    }
  } finally {
    db.close();
  }
}
