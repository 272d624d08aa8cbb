import { mkdirSync, existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { markOf } from '../../src/downstream/process-mark.js';
import { MARKER } from '../../src/downstream/strays.js';
import { ProxyError } from '../../src/errors.js';
import { setLogLevel } from '../../src/logger.js';
import { addSecrets } from '../../src/secrets.js';
import { RunningChild } from '../support/child.js';
import { TemporaryFolder } from '../support/proxy.js';

setLogLevel('silent');
afterEach(() => {
  vi.unstubAllEnvs();
});

interface Start {
  argv: string[];
  cwd: string;
  env: Record<string, string>;
  grandchild: Record<string, string>;
}

async function startOf(running: RunningChild): Promise<Start> {
  return JSON.parse((await running.line()) ?? '') as Start;
}

test('arguments arrive byte by byte, whatever a shell would make of them', async () => {
  const args = [
    '--config=a b',
    '-x',
    '--',
    '',
    ' ',
    '$HOME',
    '$(touch pwned)',
    '`touch pwned`',
    '; touch pwned',
    '&& touch pwned',
    '| cat > pwned',
    '> pwned',
    '*',
    '~',
    '!!',
    '"double" \'single\'',
    'back\\slash \\n',
    'new\nline',
    'carriage\r\nreturn',
    'tab\there',
    '%PATH% ^& caret',
    'ünïcode 😀 \u2028',
    '{"json":["a"]}',
    'x'.repeat(50_000),
  ];
  await using running = await RunningChild.start('tells-start', args);
  const { argv } = await startOf(running);
  expect(argv).toEqual(args);
  expect(existsSync(join(running.folder, 'pwned'))).toBe(false);
});

test('the environment is the six base variables, a marker of ours and what is declared, in a grandchild as well', async () => {
  const base = {
    HOME: '/home/test',
    LOGNAME: 'test',
    PATH: process.env.PATH ?? '',
    SHELL: '/bin/sh',
    TERM: 'dumb',
    USER: 'test',
  };
  for (const [name, value] of Object.entries(base)) vi.stubEnv(name, value);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'somebody else’s secret');
  vi.stubEnv('NODE_OPTIONS', '--no-warnings');
  const declared = { API_KEY: 'declared', EMPTY: '', MULTILINE: 'a\nb', TERM: 'declared as well' };
  await using running = await RunningChild.start('tells-start', [], { env: declared });
  const { env, grandchild } = await startOf(running);
  const marker = { [MARKER]: expect.stringMatching(/^[0-9a-f]{32}$/) as string };
  expect(env).toEqual({ ...base, ...declared, ...marker });
  expect(grandchild).toEqual(env);
});

test('the folder is made when it is missing, for this user alone', async () => {
  using folder = new TemporaryFolder();
  const cwd = join(realpathSync(folder.path), 'profile', 'deep');
  await using running = await RunningChild.start('tells-start', [], { cwd });
  expect((await startOf(running)).cwd).toBe(cwd);
});

test('a command that is not there is named with the keys to check', async () => {
  await using running = new RunningChild('exits', [], { command: 'no-such-command-anywhere' });
  await expect(running.child.start()).rejects.toThrow(
    new ProxyError(
      'SERVER_UNAVAILABLE',
      'Server "one" cannot be started: the command "no-such-command-anywhere" was not found. ' +
        'Check servers.one.command and cwd.',
    ),
  );
  expect(await running.child.exited).toBe('could not be started');
  expect(running.started).toEqual([]);
  await running.child.stop();
});

test('a command that may not be run is told with the system’s reason', async () => {
  using folder = new TemporaryFolder();
  const file = folder.file('not-executable', 'text');
  await using running = new RunningChild('exits', [], { command: file });
  await expect(running.child.start()).rejects.toThrow(
    `Server "one" cannot be started: spawn ${file} EACCES. Check servers.one.command and cwd.`,
  );
});

test('a folder that is a file is told with the system’s reason', async () => {
  using folder = new TemporaryFolder();
  const file = folder.file('file', '');
  await using running = new RunningChild('exits', [], { cwd: file });
  await expect(running.child.start()).rejects.toThrow(
    `Server "one" cannot be started: EEXIST: file already exists, mkdir '${file}'. ` +
      'Check servers.one.command and cwd.',
  );
});

test('an argument that no process can be given is refused', async () => {
  await using running = new RunningChild('exits', ['a\0b']);
  await expect(running.child.start()).rejects.toMatchObject({
    code: 'SERVER_UNAVAILABLE',
    message: expect.stringMatching(/^Server "one" cannot be started: .*null bytes.*$/) as string,
  });
});

test('a process that leaves by itself is told with its code and its last words', async () => {
  const words = Array.from({ length: 9 }, (_, index) => `line ${index + 1}`).join('\n');
  await using running = await RunningChild.start('exits', ['3', `${words}\n`]);
  expect(await running.child.exited).toBe('exited with code 3');
  expect(running.child.diagnosis()).toBe(
    ' It exited with code 3. Last lines of its stderr:\nline 5\nline 6\nline 7\nline 8\nline 9',
  );
});

test('a process that leaves in silence is told with its code alone', async () => {
  await using running = await RunningChild.start('exits', ['0']);
  await running.child.exited;
  expect(running.child.diagnosis()).toBe(' It exited with code 0.');
});

test('a process that is killed is told with the signal', async () => {
  await using running = await RunningChild.start('stubborn');
  await running.line();
  process.kill(running.pid, 'SIGKILL');
  expect(await running.child.exited).toBe('was ended by SIGKILL');
});

test('a silent process that runs has no diagnosis', async () => {
  await using running = await RunningChild.start('stubborn');
  await running.line();
  expect(running.child.diagnosis()).toBe('');
});

test('last words are shown without colours, control characters and secrets, and not without end', async () => {
  addSecrets(['a-secret-in-stderr']);
  const words = '\x1b[31mred\x1b[0m bell\x07 \r\nkey=a-secret-in-stderr\n\n' + 'y'.repeat(5000) + '\n';
  await using running = await RunningChild.start('exits', ['1', words]);
  await running.child.exited;
  expect(running.child.diagnosis()).toBe(
    ` It exited with code 1. Last lines of its stderr:\n${'y'.repeat(1000)}`,
  );
  await using other = await RunningChild.start('exits', ['1', words.slice(0, words.indexOf('\n\n'))]);
  await other.child.exited;
  expect(other.child.diagnosis()).toBe(
    ' It exited with code 1. Last lines of its stderr:\nred bell\nkey=[redacted]',
  );
});

test('twenty megabytes of stderr neither stall the process nor are kept', async () => {
  await using running = await RunningChild.start('floods-stderr', ['20']);
  expect(await running.line()).toBe('done');
  expect(running.child.diagnosis()).toMatch(/the last words$/);
});

test('every process is registered when it starts and taken off when it ends, by pid and start', async () => {
  await using running = await RunningChild.start('stubborn', ['end']);
  await running.line();
  expect(running.started).toEqual([markOf(running.pid)]);
  expect(running.ended).toEqual([]);
  await running.child.stop();
  expect(running.ended).toEqual(running.started);
});

test('a folder that exists keeps what is in it', async () => {
  using folder = new TemporaryFolder();
  mkdirSync(join(folder.path, 'kept'));
  await using running = await RunningChild.start('tells-start', [], { cwd: folder.path });
  await startOf(running);
  expect(existsSync(join(folder.path, 'kept'))).toBe(true);
});
