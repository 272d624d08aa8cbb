/** Who is calling, as far as sessions are concerned: a session has one principal for life. */
export interface Principal {
  /** Stable over logins and tokens; never a secret. */
  readonly id: string;
  /** May see and change the sessions of everybody, over the administrative interfaces. */
  readonly admin: boolean;
}

/** Everybody who can reach a loopback listener or the standard input of a process without authentication. */
export const LOCAL_PRINCIPAL: Principal = { id: 'local', admin: true };

/**
 * Owner of the sessions that all principals share. No authenticated principal has this id: theirs begin with how they
 * were authenticated.
 */
export const EVERYBODY = '*';

/** Whether a principal may use a session of that owner. */
export function mayUse(principal: Principal, owner: string): boolean {
  return owner === principal.id || owner === EVERYBODY;
}
