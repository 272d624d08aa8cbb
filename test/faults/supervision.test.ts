import { expect, test } from 'vitest';
import { RawClient, textOf } from '../support/client.js';
import { rounds, tell } from '../support/faults.js';
import { local, ProxyProcess, TemporaryFolder } from '../support/proxy.js';

/** Of the middle, and of the slowest in a hundred. */
function quantiles(times: readonly number[]): Record<string, string> {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number) => `${sorted[Math.floor(sorted.length * part)]?.toFixed(1)} ms`;
  return { p50: at(0.5), p99: at(0.99) };
}

test('calls to a server that failed again and again fail at once, and start nothing', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { broken: local('fails-to-start') } });
  const client = await RawClient.open(proxy.url);
  const code = async () => {
    const message = await client.call('x');
    return (message.result?._meta as Record<string, unknown> | undefined)?.['mcp-session-proxy/error'];
  };
  let failed = 0;
  while ((await code()) === 'SERVER_UNAVAILABLE') failed += 1;
  expect(failed).toBeLessThanOrEqual(5);
  const times: number[] = [];
  for (let call = 0; call < rounds(500); call++) {
    const begun = performance.now();
    expect(await code()).toBe('CIRCUIT_OPEN');
    times.push(performance.now() - begun);
  }
  expect(textOf(await client.call('x'))).toContain('is not started again until');
  tell('calls to a server that is not started', { calls: times.length, ...quantiles(times) });
});
