/** Revisions of MCP with `initialize`, oldest first. */
export const LEGACY_VERSIONS = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25'] as const;
export type LegacyVersion = (typeof LEGACY_VERSIONS)[number];

export const LATEST_LEGACY: LegacyVersion = '2025-11-25';

/** The revision of MCP without `initialize`: every request describes itself. */
export const MODERN_VERSION = '2026-07-28';

/** The two ways of speaking MCP. The era of a client and that of a server it uses may differ. */
export type Era = 'legacy' | 'modern';

/** 2025-03-26, transports: a server that gets no version header SHOULD assume this revision. */
export const VERSION_WITHOUT_HEADER: LegacyVersion = '2025-03-26';

/** The one revision whose messages may come in batches. */
export const BATCH_VERSION: LegacyVersion = '2025-03-26';

/** From this revision on a stream starts with a priming event, so that it can be resumed from its first byte. */
export const PRIMING_VERSION: LegacyVersion = '2025-11-25';

export function isLegacyVersion(value: unknown): value is LegacyVersion {
  return (LEGACY_VERSIONS as readonly unknown[]).includes(value);
}

/** The era of a revision, undefined where it is not known here. */
export function eraOf(version: unknown): Era | undefined {
  if (version === MODERN_VERSION) return 'modern';
  return isLegacyVersion(version) ? 'legacy' : undefined;
}

/** Lifecycle, version negotiation: the version asked for where it is spoken here, else the latest spoken here. */
export function negotiate(asked: unknown): LegacyVersion {
  return isLegacyVersion(asked) ? asked : LATEST_LEGACY;
}
