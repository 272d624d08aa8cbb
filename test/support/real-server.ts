import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A file of an installed server; undefined where it is not installed. */
function installed(file: string): string | undefined {
  const path = fileURLToPath(new URL(`../../node_modules/${file}`, import.meta.url));
  return existsSync(path) ? path : undefined;
}

/** Keeps thoughts in memory and counts them. */
export const SEQUENTIAL_THINKING = installed(
  '@modelcontextprotocol/server-sequential-thinking/dist/index.js',
);

export const CHROME_DEVTOOLS = installed('chrome-devtools-mcp/build/src/bin/chrome-devtools-mcp.js');
