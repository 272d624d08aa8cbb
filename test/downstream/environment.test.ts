import { getDefaultEnvironment } from '@modelcontextprotocol/sdk/client/stdio.js';
import { expect, test } from 'vitest';
import { baseEnvironment } from '../../src/downstream/environment.js';

test('a server inherits what the official client would give it, and no function that a shell exported', () => {
  const before = process.env.SHELL;
  try {
    for (const shell of ['/bin/sh', '() { :; }']) {
      process.env.SHELL = shell;
      expect(baseEnvironment()).toEqual(getDefaultEnvironment());
    }
    expect(baseEnvironment()).not.toHaveProperty('SHELL');
  } finally {
    if (before === undefined) delete process.env.SHELL;
    else process.env.SHELL = before;
  }
});
