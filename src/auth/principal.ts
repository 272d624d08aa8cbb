/** Who is calling, as far as sessions are concerned: a session has one principal for life. */
export interface Principal {
  /** Stable over logins and tokens; never a secret. */
  readonly id: string;
  /** May see and change the sessions of everybody, over the administrative interfaces. */
  readonly admin: boolean;
}

/** Everybody who can reach a loopback listener or the standard input of a process without authentication. */
export const LOCAL_PRINCIPAL: Principal = { id: 'local', admin: true };
