import { spawn } from 'node:child_process';
import { afterAll, expect, test } from 'vitest';
import { Lines, runs } from '../support/child.js';
import { fixture, until } from '../support/proxy.js';

const started: number[] = [];
afterAll(() => {
  for (const pid of started) if (runs(pid)) process.kill(pid, 'SIGKILL');
});

test('when the parent is killed the guardian ends its children', async () => {
  const parent = spawn(process.execPath, [fixture('holds-child')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const told = JSON.parse((await new Lines(parent.stdout).next()) ?? '{}') as {
    child: number;
  };
  started.push(told.child);
  expect(runs(told.child)).toBe(true);
  parent.kill('SIGKILL');
  await until(() => !runs(told.child));
});
