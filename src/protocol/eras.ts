/** Revisions of MCP with `initialize`, oldest first. */
export const LEGACY_VERSIONS = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25'] as const;
export type LegacyVersion = (typeof LEGACY_VERSIONS)[number];

export const LATEST_LEGACY: LegacyVersion = '2025-11-25';

/** 2025-03-26, transports: a server that gets no version header SHOULD assume this revision. */
export const VERSION_WITHOUT_HEADER: LegacyVersion = '2025-03-26';

/** The one revision whose messages may come in batches. */
export const BATCH_VERSION: LegacyVersion = '2025-03-26';

/** From this revision on a stream starts with a priming event, so that it can be resumed from its first byte. */
export const PRIMING_VERSION: LegacyVersion = '2025-11-25';

export function isLegacyVersion(value: unknown): value is LegacyVersion {
  return (LEGACY_VERSIONS as readonly unknown[]).includes(value);
}

/** Lifecycle, version negotiation: the version asked for where it is spoken here, else the latest spoken here. */
export function negotiate(asked: unknown): LegacyVersion {
  return isLegacyVersion(asked) ? asked : LATEST_LEGACY;
}
