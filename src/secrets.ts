/** What must never be read in a log, an error or an event; apart from the logger, which not everybody needs who redacts. */

/** Shorter values would blot out ordinary words. */
const SHORTEST_SECRET = 6;
const secrets = new Set<string>();

/** From now on, these values appear in no log line, error or event. Longest first, so that parts hide nothing. */
export function addSecrets(values: Iterable<string>): void {
  // Of a secret of several lines, each: a log or the tail of stderr may hold one alone.
  for (const value of [...values].flatMap((one) => [one, ...one.split('\n')])) {
    if (value.length < SHORTEST_SECRET) continue;
    secrets.add(value);
    secrets.add(JSON.stringify(value).slice(1, -1));
  }
  const sorted = [...secrets].sort((a, b) => b.length - a.length);
  secrets.clear();
  for (const value of sorted) secrets.add(value);
}

/** `text` with every known secret replaced. */
export function redact(text: string): string {
  let clean = text;
  for (const secret of secrets) if (clean.includes(secret)) clean = clean.replaceAll(secret, '[redacted]');
  return clean;
}
