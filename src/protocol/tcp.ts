/**
 * Options of every TCP connection. A peer that vanishes without a word is noticed after 20 s: the system asks an idle one
 * after 10 s, and then each second ten times. Heartbeats must be further apart, for unanswered data suspends the asking.
 */
export const TCP_OPTIONS = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 10_000 };
