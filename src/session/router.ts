import type { Fields } from '../protocol/messages.js';
import type { Handle, Route } from '../protocol/methods.js';

/** What sessions need of the catalog. */
export interface Router {
  route(method: string, params: Fields | undefined): Route;
  expose(server: string, method: string, result: Fields): Fields;
  merge(list: string, results: readonly Fields[]): Fields;
  isReadOnly(server: string, tool: string): boolean | undefined;
  /** The session that the arguments of a tool call name; without a value where one is required and missing. */
  handle(params: Fields | undefined): Handle | undefined;
  describe(descriptions: readonly (Fields | undefined)[]): Fields;
}
