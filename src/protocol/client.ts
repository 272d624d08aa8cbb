import { VERSION } from '../version.js';
import { ENVELOPE } from './envelope.js';
import { LATEST_LEGACY, negotiate, type Era, type LegacyVersion } from './eras.js';
import { isFields, metaOf, type Fields } from './messages.js';

/** A client as it introduced itself: what servers are told, and what may be asked of it. */
export interface ClientProfile {
  era: Era;
  /** The revision a legacy server is asked for, whatever the client's own era is. */
  protocolVersion: LegacyVersion;
  capabilities: Fields;
  clientInfo: Fields;
}

/** The profile in the params of an `initialize`. */
export function profileOf(params: Fields | undefined): ClientProfile {
  return {
    era: 'legacy',
    protocolVersion: negotiate(params?.protocolVersion),
    ...described(params?.capabilities, params?.clientInfo),
  };
}

/** The profile in the params of a modern request, which says of its client in `_meta` all that is known. */
export function profileOfEnvelope(params: Fields | undefined): ClientProfile {
  const meta = metaOf(params);
  return {
    era: 'modern',
    protocolVersion: LATEST_LEGACY,
    ...described(meta?.[ENVELOPE.clientCapabilities], meta?.[ENVELOPE.clientInfo]),
  };
}

function described(
  capabilities: unknown,
  clientInfo: unknown,
): Pick<ClientProfile, 'capabilities' | 'clientInfo'> {
  return {
    capabilities: isFields(capabilities) ? capabilities : {},
    clientInfo: isFields(clientInfo) ? clientInfo : { name: 'unknown', version: '0' },
  };
}

/**
 * The params of an `initialize` in the client's name. A modern client declares its capabilities with each request, a
 * legacy server wants to know them once and for all: it is told of those that the proxy can see to, and a request whose
 * client lacks one is refused when it is needed. Roots alone are asked for at the server's own time, so only a client
 * that has some is said to.
 */
export function toInitialize({ era, capabilities, ...profile }: ClientProfile): Fields {
  if (era === 'legacy') return { ...profile, capabilities };
  const asked = { sampling: {}, elicitation: { form: {}, url: {} } };
  return { ...profile, capabilities: { ...asked, ...capabilities } };
}

/** The proxy speaking for itself: it offers a server nothing, so the server asks nothing of it. */
export const PROXY_PROFILE: ClientProfile = {
  era: 'legacy',
  protocolVersion: LATEST_LEGACY,
  capabilities: {},
  clientInfo: { name: 'mcp-session-proxy', version: VERSION },
};
