/**
 * `${NAME}` and `${NAME:-default}` in any text of the config come from the environment; `$${` is a plain `${`.
 * Names with a dot, like `${session.dir}`, are filled in later, when a server starts, and so are their
 * `$${` and the `${item}` of its steps.
 */
const VARIABLE = /\$\$\{(?![a-z]+\.[a-z.]+\})|\$\{(?!item\})([A-Za-z_]\w*)(?::-([^}]*))?\}/g;

/** Names whose values are secrets, in whatever part of the config they stand. */
const SECRET_NAME = /token|key|secret|pass|auth|cred|cookie/i;

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Filled {
  value: unknown;
  /** Values that must never be shown. */
  secrets: string[];
  /** Variables that are not set, with the place that asks for them. */
  missing: { path: string[]; name: string }[];
}

/** A parsed config with its environment variables filled in. */
export function fillVariables(value: unknown, env: Environment): Filled {
  const filled: Filled = { value: undefined, secrets: [], missing: [] };

  const fillText = (text: string, path: string[]): string =>
    text.replace(VARIABLE, (match, name: string | undefined, fallback: string | undefined) => {
      if (name === undefined) return '${';
      // As in a shell: `:-` also stands in for an empty variable.
      const found = env[name] === '' && fallback !== undefined ? fallback : (env[name] ?? fallback);
      if (found === undefined) filled.missing.push({ path, name });
      else if (SECRET_NAME.test(name)) filled.secrets.push(found);
      return found ?? match;
    });

  const fill = (part: unknown, path: string[]): unknown => {
    if (typeof part === 'string') {
      const text = fillText(part, path);
      if (isSecretPlace(path) && !(text === part && isPlainWord(path, text)))
        filled.secrets.push(text, text.replace(/^\w+ /, ''));
      return text;
    }
    if (Array.isArray(part)) return part.map((item, index) => fill(item, [...path, String(index)]));
    if (typeof part !== 'object' || part === null) return part;
    return Object.fromEntries(Object.entries(part).map(([key, item]) => [key, fill(item, [...path, key])]));
  };

  filled.value = fill(value, []);
  return filled;
}

/**
 * A word or a small number that is written out under a name in `env` that tells of no secret, like
 * `NODE_ENV: production`: to cut it out of every text would hide what the texts are about.
 */
function isPlainWord(path: string[], text: string): boolean {
  const [holder, key = ''] = path.slice(-2);
  return holder === 'env' && !SECRET_NAME.test(key) && /^([a-z]{1,12}|[A-Z]{1,12}|\d{1,5})$/.test(text);
}

/** Tokens are secrets, and so may be whatever stands in `env` and `headers`. */
export function isSecretPlace(path: string[]): boolean {
  const [holder, key] = path.slice(-2);
  if (path[0] === 'auth' && key === 'value') return true;
  return (holder === 'env' || holder === 'headers') && key !== undefined;
}
