import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** All that the tests start keeps what it keeps for its user in a folder that is gone with the run. */
export default function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'msp-state-'));
  process.env.XDG_STATE_HOME = folder;
  return () => rmSync(folder, { recursive: true, force: true });
}
