import { configJsonSchema } from '../config/schema.js';

/** `mcp-session-proxy schema`: what `config/mcp-proxy.schema.json` is made with. */
export function schema(): void {
  console.log(JSON.stringify(configJsonSchema(), null, 2));
}
