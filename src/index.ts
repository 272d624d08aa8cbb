/** The public API. */
export { SessionProxy, type ProxyOptions } from './proxy.js';
export { loadConfig, findConfigFile } from './config/load.js';
export type { Config, ServerConfig } from './config/schema.js';
export { ProxyError, type ErrorCode } from './errors.js';
