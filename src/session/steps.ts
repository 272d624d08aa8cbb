import { existsSync } from 'node:fs';
import type { Capture, Step } from '../config/recovery.js';
import { ProxyError } from '../errors.js';
import { isFields, type Fields } from '../protocol/messages.js';

const PLACEHOLDER = /\$\{([a-z][\w.]*)\}/gi;
const LONE_PLACEHOLDER = /^\$\{([a-z][\w.]*)\}$/i;

/** What placeholders of the steps stand for, by the parts of their names. */
export type Values = Fields;

/** Calls a tool. @throws {ProxyError} when it fails */
export type CallTool = (tool: string, args: Fields) => Promise<Fields>;

/**
 * Makes tool calls one after the other, as the config says.
 * @returns how many calls were made, and the values that were taken out of their results
 * @throws {ProxyError} naming the step that failed; the rest is not made
 */
export async function runSteps(
  steps: readonly Step[],
  values: Values,
  call: CallTool,
): Promise<{ made: number; captured: Fields }> {
  const captured: Fields = {};
  let made = 0;
  for (const step of steps) {
    if (!applies(step, values)) continue;
    for (const item of itemsOf(step, values)) {
      const result = await call(step.tool, fillFields(step.args, { ...values, item }));
      made += 1;
      for (const [name, how] of Object.entries(step.capture)) captured[name] = capture(how, result);
    }
  }
  return { made, captured };
}

/** Whether the step is to be made now. */
function applies(step: Step, values: Values): boolean {
  if (step.if !== undefined && lookUp(values, step.if) === undefined) return false;
  if (step.unless !== undefined && lookUp(values, step.unless) !== undefined) return false;
  if (step.ifFile === undefined) return true;
  try {
    return existsSync(String(fill(step.ifFile, values)));
  } catch {
    return false; // a placeholder without a value names no file
  }
}

function itemsOf({ forEach, skip }: Step, values: Values): unknown[] {
  if (forEach === undefined) return [undefined];
  const list = lookUp(values, forEach);
  return Array.isArray(list) ? list.slice(skip) : [];
}

/** The value of a dotted name; undefined when there is none. */
export function lookUp(values: unknown, name: string): unknown {
  let value = values;
  for (const key of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Fields)[key];
  }
  return value;
}

/** @throws {ProxyError} CONFIG_INVALID naming a placeholder without a value */
export function fillFields(fields: Fields, values: Values): Fields {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, fill(value, values)]));
}

/** A text that is one placeholder becomes its value, of whatever type; others are filled in as text. */
function fill(value: unknown, values: Values): unknown {
  if (Array.isArray(value)) return value.map((item) => fill(item, values));
  if (isFields(value)) return fillFields(value, values);
  if (typeof value !== 'string') return value;
  const known = (name: string) => {
    const found = lookUp(values, name);
    if (found !== undefined) return found;
    throw new ProxyError('CONFIG_INVALID', `The placeholder \${${name}} has no value here.`);
  };
  const [, lone] = LONE_PLACEHOLDER.exec(value) ?? [];
  if (lone !== undefined) return known(lone);
  return value.replace(PLACEHOLDER, (_, name: string) => {
    const found = known(name);
    return typeof found === 'string' ? found : JSON.stringify(found);
  });
}

/** All texts in a value, filled in; without those that name something that has no value. */
export function textsOf(value: unknown, values: Values): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => textsOf(item, values));
  if (isFields(value)) return textsOf(Object.values(value), values);
  if (typeof value !== 'string') return [];
  try {
    const filled = fill(value, values);
    return typeof filled === 'string' ? [filled] : [];
  } catch {
    return [];
  }
}

/** All text of a tool's result. */
export function textOf(result: Fields): string {
  if (!Array.isArray(result.content)) return '';
  return result.content
    .flatMap((block: unknown) => (isFields(block) && typeof block.text === 'string' ? [block.text] : []))
    .join('\n');
}

/** Undefined when the result has no such value. */
function capture(how: Capture, result: Fields): unknown {
  if (how.path !== undefined) return convert(how, walk(result, how.path.split('.')));
  const all = textOf(result);
  const part = how.within === undefined ? undefined : new RegExp(how.within, 'm').exec(all);
  if (part === null) return undefined;
  const text = part ? (part[1] ?? part[0]) : all;
  const matches = [...text.matchAll(new RegExp(how.regex ?? '', 'gm'))];
  const found = matches.map((match) => (match.length > 1 ? (match[1] ?? how.default) : match[0]));
  if (how.all) return found.length > 0 ? convert(how, found) : undefined;
  return convert(how, found[0]);
}

function walk(value: unknown, [key, ...rest]: string[]): unknown {
  if (key === undefined) return value;
  if (key === '*') return Array.isArray(value) ? value.map((item) => walk(item, rest)) : undefined;
  return walk(lookUp(value, key), rest);
}

function convert(how: Capture, value: unknown): unknown {
  if (how.as === 'text' || value === undefined) return value;
  return Array.isArray(value) ? value.map(Number) : Number(value);
}
