import { readFileSync } from 'node:fs';

/** The version in package.json, which stands beside the compiled code's folder. */
export const VERSION = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

/** Whether a version comes after another one (semver, of pre-releases the first part that differs). */
export function isNewer(version: string, than: string): boolean {
  const [ours, theirs] = [partsOf(version), partsOf(than)];
  for (let i = 0; i < Math.max(ours.length, theirs.length); i++) {
    const [a, b] = [ours[i], theirs[i]];
    // A release is newer than its pre-releases.
    if (a === undefined || b === undefined) return a === undefined;
    if (a === b) continue;
    const numbers = /^\d+$/.test(a) && /^\d+$/.test(b);
    return numbers ? Number(a) > Number(b) : a > b;
  }
  return false;
}

function partsOf(version: string): string[] {
  return version.replace(/\+.*$/, '').split(/[.-]/);
}
