import { VERSION } from '../version.js';
import { LATEST_LEGACY, negotiate, type LegacyVersion } from './eras.js';
import { isFields, type Fields } from './messages.js';

/** A client as it introduced itself: what servers are told, and what may be asked of it. */
export interface ClientProfile {
  protocolVersion: LegacyVersion;
  capabilities: Fields;
  clientInfo: Fields;
}

/** The profile in the params of an `initialize`. */
export function profileOf(params: Fields | undefined): ClientProfile {
  return {
    protocolVersion: negotiate(params?.protocolVersion),
    capabilities: isFields(params?.capabilities) ? params.capabilities : {},
    clientInfo: isFields(params?.clientInfo) ? params.clientInfo : { name: 'unknown', version: '0' },
  };
}

/** The proxy speaking for itself: it offers a server nothing, so the server asks nothing of it. */
export const PROXY_PROFILE: ClientProfile = {
  protocolVersion: LATEST_LEGACY,
  capabilities: {},
  clientInfo: { name: 'mcp-session-proxy', version: VERSION },
};
