/** The public API. */
export { connectProxy, openProxy, type ConnectOptions, type OpenOptions } from './api/open.js';
export type { ConfigInput } from './api/config.js';
export type { ProxyHandle } from './api/handle.js';
export type { Space, SessionOptions, SessionQuery, SpaceCallOptions } from './api/space.js';
export type { SessionHandle, SessionInfo } from './api/session.js';
export type { LoadOptions } from './api/kept.js';
export type { FromJson, HandleState } from './api/state.js';
export type { BatchOptions, Call, CallOptions } from './api/batch.js';
export { textOf, type Outcome } from './api/outcome.js';
export { remoteDoor, type RemoteDoorOptions } from './admin/client.js';
export type {
  BindingInfo,
  Door,
  EventQuery,
  EventView,
  ListQuery,
  NewSession,
  PingView,
  Reinitialized,
  SaveOptions,
  ServerChange,
  ServerView,
  SessionChange,
  SessionPage,
  SessionView,
  Snapshot,
  StateValue,
  Summary,
  ToolResult,
} from './admin/door.js';
export type { Hook, HookedEvent, HookedRequest, Layer } from './session/hooks.js';
export { SessionProxy, type ProxyOptions } from './proxy.js';
export type { Clock } from './clock.js';
export { loadConfig } from './config/load.js';
export { findConfigFile } from './config/places.js';
export type { Config, ServerConfig } from './config/schema.js';
export { ProxyError, type ErrorCode } from './errors.js';
