import { defineConfig } from 'vitest/config';

/** The whole fault suite (`npm run test:faults`). `npm test` runs a tenth of it with the other tests. */
export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/faults/**/*.test.ts'],
    globalSetup: ['test/support/state-folder.ts'],
    env: { FAULT_ROUNDS: '1' },
    // Memory and descriptors are measured: no neighbours.
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
