import { expect, test } from 'vitest';
import { PROXY_PROFILE, profileOf } from '../../src/protocol/client.js';
import {
  BATCH_VERSION,
  isLegacyVersion,
  LATEST_LEGACY,
  LEGACY_VERSIONS,
  negotiate,
  PRIMING_VERSION,
  VERSION_WITHOUT_HEADER,
} from '../../src/protocol/eras.js';
import { VERSION } from '../../src/version.js';

test('the legacy revisions are these four, oldest first, so that they compare as text', () => {
  expect(LEGACY_VERSIONS).toEqual(['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25']);
  expect([...LEGACY_VERSIONS].sort()).toEqual(LEGACY_VERSIONS);
  expect(LATEST_LEGACY).toBe('2025-11-25');
});

test('each legacy revision asked for is the one spoken', () => {
  expect(LEGACY_VERSIONS.map(negotiate)).toEqual(LEGACY_VERSIONS);
});

test.each([
  ['2026-07-28'],
  ['2024-10-07'],
  ['1.0'],
  [''],
  ['2025-11-25 '],
  [20251125],
  [null],
  [undefined],
  [{}],
])('to a client that asks for %j the latest legacy revision is offered', (asked) => {
  expect(isLegacyVersion(asked)).toBe(false);
  expect(negotiate(asked)).toBe('2025-11-25');
});

test('what holds for one revision alone names that revision', () => {
  expect([VERSION_WITHOUT_HEADER, BATCH_VERSION, PRIMING_VERSION]).toEqual([
    '2025-03-26',
    '2025-03-26',
    '2025-11-25',
  ]);
});

test('a client is taken as it introduces itself', () => {
  const capabilities = { roots: { listChanged: true }, 'x/unheard-of': { a: 1 } };
  const clientInfo = { name: 'c', version: '2', icons: [{ src: 'x' }] };
  expect(profileOf({ protocolVersion: '2025-03-26', capabilities, clientInfo, more: 1 })).toEqual({
    era: 'legacy',
    protocolVersion: '2025-03-26',
    capabilities,
    clientInfo,
  });
});

test.each([
  [undefined],
  [{}],
  [{ capabilities: 5, clientInfo: 'x', protocolVersion: 7 }],
  [{ capabilities: [] }],
])('a client that introduces itself with %j offers nothing and has no name', (params) => {
  expect(profileOf(params)).toEqual({
    era: 'legacy',
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'unknown', version: '0' },
  });
});

test('the proxy in its own name offers servers nothing', () => {
  expect(PROXY_PROFILE).toEqual({
    era: 'legacy',
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'mcp-session-proxy', version: VERSION },
  });
});
