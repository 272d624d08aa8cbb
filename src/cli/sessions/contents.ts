import { Option } from 'commander';
import type { Snapshot } from '../../admin/door.js';
import { ProxyError } from '../../errors.js';
import type { Fields } from '../../protocol/messages.js';
import { oneLine, table } from '../table.js';
import { fromNow, parseCount } from '../units.js';
import { given, group, parseJson, parseValue, verb, type Group } from './command.js';
import { LONGEST_CELL, plain } from './text.js';

interface Checked {
  ifVersion?: number;
}

interface Revision {
  revision?: number;
}

const get = verb({
  usage: 'get <session> <key>',
  summary: 'print a value; app:, user: and temp: keys too',
  run: (door, _, ref, key) => door.getValue(ref, key),
  text: ({ value }) => (typeof value === 'string' ? value : JSON.stringify(value, null, 2)),
});

const set = verb({
  usage: 'set <session> <key> <value>',
  summary: 'set a value: JSON, or else text; - reads standard input',
  options: [
    new Option('--text', 'the value is text, also if it looks like JSON'),
    new Option('--merge', 'lay an object over what is there'),
    version(),
  ],
  run: (door, { text, merge, ...check }: Checked & { text?: boolean; merge?: boolean }, ref, key, value) =>
    door.setValue(ref, key, text ? given(value) : parseValue(given(value)), {
      ...(merge ? { merge } : {}),
      ...checked(check),
    }),
  text: ({ version: now }, _, __, key) => `${key} is at version ${now}.`,
});

const rm = verb({
  usage: 'rm <session> <key>',
  summary: 'delete a value; what is not there is no error',
  options: [version()],
  run: (door, options: Checked, ref, key) => door.deleteValue(ref, key, checked(options)),
  text: (deleted, _, ref, key) => (deleted ? `Deleted ${key}.` : `There was no "${key}" in ${ref}.`),
});

const ls = verb({
  usage: 'ls <session>',
  summary: 'list all values',
  run: (door, _, ref) => door.getState(ref),
  text: (values: Fields) => {
    const rows = Object.entries(values).map(([key, value]) => [key, oneLine(plain(value), LONGEST_CELL)]);
    return rows.length === 0 ? 'No values.' : table([['KEY', 'VALUE'], ...rows]);
  },
});

/** `sessions state …` */
const state: Group = (parent) =>
  group(get, set, rm, ls)(parent.command('state').description('read and write the state of a session'));

const save = verb({
  usage: 'save <session> <name>',
  summary: 'keep the state of a session, or any value, under a name, as a new revision',
  options: [new Option('--value <json>', 'this instead of the state; - reads standard input')],
  run: (door, { value }: { value?: string }, ref, name) =>
    door.saveSnapshot(ref, name, value === undefined ? undefined : parseJson(given(value), '--value')),
  text: ({ name, revision }) => `Saved ${name}, revision ${revision}.`,
});

const load = verb({
  usage: 'load <session> <name>',
  summary: 'print what was saved; what is not there is null and no error',
  options: [revision(), new Option('--must-exist', 'what is not there is an error')],
  run: async (door, { revision: at, mustExist }: Revision & { mustExist?: boolean }, ref, name) => {
    const found = await door.loadSnapshot(ref, name, at);
    if (found || !mustExist) return found;
    throw new ProxyError('STATE_NOT_FOUND', `Session "${ref}" has no such snapshot "${name}".`);
  },
  text: (snapshot: Snapshot | null) => JSON.stringify(snapshot && snapshot.value, null, 2),
});

const snapshots = verb({
  usage: 'snapshots <session> [name]',
  summary: 'list what was saved: the latest of each name, or all revisions of one',
  run: (door, _, ref, name?: string) => door.listSnapshots(ref, name),
  text: (list) =>
    list.length === 0
      ? 'Nothing was saved.'
      : table([
          ['NAME', 'REVISION', 'SAVED'],
          ...list.map((one) => [one.name, String(one.revision), fromNow(one.createdAt)]),
        ]),
});

const rollback = verb({
  usage: 'rollback <session> <name>',
  summary: 'make the state of a session what it was when it was saved',
  options: [revision()],
  run: (door, { revision: at }: Revision, ref, name) => door.rollback(ref, name, at),
  text: (values, _, ref, name) => `${ref} is as in ${name}: ${Object.keys(values).join(', ') || 'no keys'}.`,
});

const summary = verb({
  usage: 'summary <session>',
  summary: 'print what was last written to sum up what happened in a session, or write it',
  options: [
    new Option('--set <text>', 'this is its summary now; - reads standard input'),
    new Option('--up-to <seq>', 'number of the last event that it covers; by default the last').argParser(
      parseCount,
    ),
  ],
  run: (door, { set: text, upTo }: { set?: string; upTo?: number }, ref) =>
    text === undefined ? door.summary(ref) : door.summarize(ref, given(text), upTo),
  text: (found, { set: text }) => {
    if (!found) return 'No summary.';
    return text === undefined ? found.text : `Summed up to event ${found.upTo}.`;
  },
});

export const contents = group(state, save, load, snapshots, rollback, summary);

function version(): Option {
  return new Option('--if-version <n>', 'only if it is at this version, 0 for none').argParser(parseCount);
}

function revision(): Option {
  return new Option('--revision <n>', 'this one instead of the latest').argParser(parseCount);
}

function checked({ ifVersion }: Checked) {
  return ifVersion === undefined ? {} : { version: ifVersion };
}
