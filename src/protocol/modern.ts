import { ProxyError } from '../errors.js';
import { profileOfEnvelope, type ClientProfile } from './client.js';
import { ENVELOPE, SERVER_INFO } from './envelope.js';
import { eraOf, MODERN_VERSION } from './eras.js';
import { isFields, metaOf, withMeta, type Fields, type Notification } from './messages.js';

/**
 * What 2026-07-28 adds to messages. A request describes itself: revision, client and capabilities stand in its `_meta`
 * (the envelope), and over HTTP headers repeat what intermediaries need.
 */

/** Requests of earlier revisions that this one does not have. */
const REMOVED = new Set([
  'initialize',
  'ping',
  'logging/setLevel',
  'resources/subscribe',
  'resources/unsubscribe',
  'tasks/list',
  'tasks/result',
]);

/** Results that say how long they may be kept. */
const CACHEABLE = new Set([
  'server/discover',
  'tools/list',
  'prompts/list',
  'resources/list',
  'resources/templates/list',
  'resources/read',
]);

/** Which of the params the header `Mcp-Name` repeats. */
const NAMED: Readonly<Record<string, string>> = {
  'tools/call': 'name',
  'prompts/get': 'name',
  'resources/read': 'uri',
  'tasks/get': 'taskId',
  'tasks/update': 'taskId',
  'tasks/cancel': 'taskId',
};

/** Severity of log messages, least first. */
const LEVELS = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'];

/** Whether the params claim to describe their sender, well or badly. */
export function hasEnvelope(params: Fields | undefined): boolean {
  const meta = metaOf(params);
  return meta !== undefined && ENVELOPE.protocolVersion in meta;
}

/** The params with what a server must be told of the client with each request. */
export function enveloped(params: Fields | undefined, client: ClientProfile, logLevel?: unknown): Fields {
  // Tasks of 2025-11-25 are no tasks of this revision.
  const { tasks: _, ...capabilities } = client.capabilities;
  return withMeta(params ?? {}, {
    [ENVELOPE.protocolVersion]: MODERN_VERSION,
    [ENVELOPE.clientCapabilities]: capabilities,
    [ENVELOPE.clientInfo]: client.clientInfo,
    ...(logLevel === undefined ? {} : { [ENVELOPE.logLevel]: logLevel }),
  });
}

/** The client of a self-described request. */
export interface Envelope {
  client: ClientProfile;
  /** Log messages from this level on are wanted; none without it. */
  logLevel: string | undefined;
}

/**
 * What a request says of its client.
 * @throws {ProxyError} ENVELOPE_INVALID naming the key, UNSUPPORTED_VERSION
 */
export function envelopeOf(params: Fields | undefined): Envelope {
  const meta = metaOf(params) ?? {};
  const wrong = (key: string, must: string) =>
    new ProxyError('ENVELOPE_INVALID', `params._meta["${key}"] ${must} (revision ${MODERN_VERSION}).`);
  const version = meta[ENVELOPE.protocolVersion];
  if (typeof version !== 'string') throw wrong(ENVELOPE.protocolVersion, 'must be a string');
  if (eraOf(version) !== 'modern') throw unsupported(version);
  if (!isFields(meta[ENVELOPE.clientCapabilities]))
    throw wrong(ENVELOPE.clientCapabilities, 'must be an object');
  const info = meta[ENVELOPE.clientInfo];
  if (info !== undefined && !isFields(info)) throw wrong(ENVELOPE.clientInfo, 'must be an object');
  const wanted = meta[ENVELOPE.logLevel];
  const logLevel = LEVELS.find((level) => level === wanted);
  if (wanted !== undefined && logLevel === undefined) {
    throw wrong(ENVELOPE.logLevel, `must be one of ${LEVELS.join(', ')}`);
  }
  return { client: profileOfEnvelope(params), logLevel };
}

/** A revision that is not spoken here, in the words that 2026-07-28 asks for. */
function unsupported(requested: string): ProxyError {
  const text = `Revision "${requested.slice(0, 80)}" is not spoken here. Use ${MODERN_VERSION}, or initialize.`;
  return new ProxyError('UNSUPPORTED_VERSION', text, { details: { supported: [MODERN_VERSION], requested } });
}

/**
 * Whether a message is of this revision. Its body decides; the header alone marks one that fails to describe itself.
 * `initialize` begins what this revision has not, whatever stands beside it.
 */
export function isModern({ method, params }: Notification, versionHeader: string | undefined): boolean {
  if (hasEnvelope(params)) return true;
  return method !== 'initialize' && eraOf(versionHeader) === 'modern';
}

export function isRemoved(method: string): boolean {
  return REMOVED.has(method);
}

/** Whether a client that asked for `wanted` is to get a log message of that level. */
export function isLogged(level: unknown, wanted: string | undefined): boolean {
  return wanted !== undefined && LEVELS.indexOf(String(level)) >= LEVELS.indexOf(wanted);
}

/** The headers that repeat parts of a request or notification; `Mcp-Param-` comes on top. */
export function headersOf(method: string, params: Fields | undefined): Record<string, string> {
  const version = metaOf(params)?.[ENVELOPE.protocolVersion];
  const name = namedBy(method, params);
  return {
    'MCP-Protocol-Version': typeof version === 'string' ? version : MODERN_VERSION,
    'Mcp-Method': method,
    ...(name === undefined ? {} : { 'Mcp-Name': encodeHeader(name) }),
  };
}

/** The headers that repeat arguments of a tool; what is absent or null has none. */
export function headersOfParams(declared: readonly ParamHeader[], args: unknown): Record<string, string> {
  return Object.fromEntries(
    declared.flatMap(({ name, path }) => {
      const text = textOfParam(valueAt(args, path));
      // What is no token is no name of a header: such a mark counts for nothing.
      return text === undefined || !TOKEN.test(name) ? [] : [[`Mcp-Param-${name}`, encodeHeader(text)]];
    }),
  );
}

/** RFC 9110, field names. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

function namedBy(method: string, params: Fields | undefined): string | undefined {
  const source = Object.hasOwn(NAMED, method) ? NAMED[method] : undefined;
  const value = source === undefined ? undefined : params?.[source];
  return typeof value === 'string' ? value : undefined;
}

/**
 * Compares the headers of a request with its body, which alone is then believed.
 * @throws {ProxyError} ENVELOPE_INVALID, UNSUPPORTED_VERSION, and HEADER_MISMATCH. 2026-07-28, transports: servers MUST
 * refuse what differs or is missing
 */
export function checkHeaders(
  header: (name: string) => string | undefined,
  method: string,
  params: Fields | undefined,
): void {
  const [version, claimed] = [header('mcp-protocol-version'), metaOf(params)?.[ENVELOPE.protocolVersion]];
  const differs = version !== claimed && typeof claimed === 'string';
  if (differs && version !== undefined) throw mismatch('MCP-Protocol-Version', version, claimed);
  envelopeOf(params); // a revision that is not known here is told as that, whatever headers it has
  if (differs) throw mismatch('MCP-Protocol-Version', version, claimed);
  const named = header('mcp-method');
  if (named !== method) throw mismatch('Mcp-Method', named, method);
  const value = namedBy(method, params);
  if (value === undefined) return;
  const name = header('mcp-name');
  if (name === undefined || decodeHeader(name) !== value) throw mismatch('Mcp-Name', name, value);
}

/** @throws {ProxyError} HEADER_MISMATCH */
export function checkParamHeaders(
  header: (name: string) => string | undefined,
  declared: readonly ParamHeader[],
  args: unknown,
): void {
  for (const { name, path } of declared) {
    const value = textOfParam(valueAt(args, path));
    if (value === undefined) continue;
    const sent = header(`mcp-param-${name.toLowerCase()}`);
    const decoded = sent === undefined ? undefined : decodeHeader(sent);
    if (decoded === undefined || !isSameParam(decoded, value))
      throw mismatch(`Mcp-Param-${name}`, sent, value);
  }
}

function mismatch(name: string, header: string | undefined, body: string): ProxyError {
  const said = header === undefined ? 'is missing' : `says "${header.slice(0, 80)}"`;
  return new ProxyError(
    'HEADER_MISMATCH',
    `The header ${name} ${said}, but the body says "${body.slice(0, 80)}".`,
  );
}

/** An argument of a tool that is to be repeated in a header, `Mcp-Param-` and the name. */
export interface ParamHeader {
  name: string;
  path: readonly string[];
}

/** The arguments that a tool's schema marks with `x-mcp-header`: those reached by `properties` alone. */
export function paramHeadersOf(schema: unknown, path: readonly string[] = []): ParamHeader[] {
  if (!isFields(schema)) return [];
  const mark = schema['x-mcp-header'];
  const own = typeof mark === 'string' && mark !== '' && path.length > 0 ? [{ name: mark, path }] : [];
  if (!isFields(schema.properties)) return own;
  const inner = Object.entries(schema.properties).flatMap(([key, child]) =>
    path.length < MAX_PATH ? paramHeadersOf(child, [...path, key]) : [],
  );
  return [...own, ...inner];
}

/** Levels of a schema that are looked at. */
const MAX_PATH = 16;

function valueAt(args: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((value, key) => (isFields(value) ? value[key] : undefined), args);
}

/** A primitive as it stands in a header; undefined for what has no place there. */
function textOfParam(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value)))
    return String(value);
  return undefined;
}

/** 42.0 and 42 are one number. */
function isSameParam(sent: string, value: string): boolean {
  const number = /^-?\d+(\.\d+)?$/;
  return sent === value || (number.test(sent) && number.test(value) && Number(sent) === Number(value));
}

const SENTINEL = /^=\?base64\?(.*)\?=$/s;

/** A header value as its text; undefined where its Base64 is broken. */
export function decodeHeader(header: string): string | undefined {
  const value = header.trim();
  const encoded = SENTINEL.exec(value)?.[1];
  if (encoded === undefined) return value;
  const bytes = Buffer.from(encoded, 'base64');
  return bytes.toString('base64') === encoded ? bytes.toString('utf8') : undefined;
}

/** A text as a header value: as it is, or in Base64 where HTTP would refuse or alter it. */
export function encodeHeader(text: string): string {
  const plain = /^[\x20-\x7e\t]+$/.test(text) && text === text.trim() && !SENTINEL.test(text);
  return plain ? text : `=?base64?${Buffer.from(text, 'utf8').toString('base64')}?=`;
}

/**
 * A result with all that this revision wants in it. What is there stays as it is: a server of the same revision has
 * said it all.
 */
export function completed(method: string, result: Fields, server: unknown): Fields {
  const named = metaOf(result)?.[SERVER_INFO] === undefined && isFields(server);
  const told = named ? withMeta(result, { [SERVER_INFO]: server }) : result;
  const complete = told.resultType === undefined || told.resultType === 'complete';
  return {
    ...(complete && CACHEABLE.has(method) ? { ttlMs: 0, cacheScope: 'private' } : {}),
    resultType: 'complete',
    ...told,
  };
}
