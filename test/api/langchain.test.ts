import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { openHere } from './support/places.js';

/** Of @langchain/mcp-adapters, what is used here. */
interface Adapters {
  MultiServerMCPClient: new (config: { mcpServers: Record<string, { transport: 'http'; url: string }> }) => {
    getTools(): Promise<{ name: string; invoke(args: object): Promise<{ text: string }> }[]>;
    close(): Promise<void>;
  };
}

/** LangChain.js is installed apart from the project's own dependencies: `npm ci --prefix test/langchain`. */
function find(): string | undefined {
  try {
    const home = createRequire(new URL('../langchain/package.json', import.meta.url));
    return pathToFileURL(home.resolve('@langchain/mcp-adapters')).href;
  } catch {
    return undefined;
  }
}

const adapters = find();

describe.skipIf(adapters === undefined)('LangChain.js', () => {
  /** What a tool answers that is listed at an address by an adapter of its own. */
  const useTool = async (url: string, tool: string) => {
    const { MultiServerMCPClient } = (await import(adapters ?? '')) as Adapters;
    const client = new MultiServerMCPClient({ mcpServers: { proxy: { transport: 'http', url } } });
    try {
      const tools = await client.getTools();
      return (await tools.find(({ name }) => name.endsWith(tool))?.invoke({}))?.text;
    } finally {
      await client.close();
    }
  };

  test('M16 tools that are listed in a session’s scope act in that session, though each call connects anew', async () => {
    await using place = await openHere({}, true);
    const agent = place.proxy.forAgent('alice');
    await agent.withSession('task', async (session) => {
      const url = await session.url();
      expect([await useTool(url, 'increment'), await useTool(url, 'increment')]).toEqual(['1', '2']);
      expect(await agent.useTool('increment')).toMatchObject({ content: [{ text: '3' }] });
      const other = await agent.createSession('other');
      expect(await useTool(await other.url(), 'increment')).toBe('1');
    });
    expect(await agent.findSession('task')).toBeNull();
  });

  test('M16 tools that are listed once go on acting in their session after its servers were stopped', async () => {
    await using place = await openHere({}, true);
    const session = await place.proxy.forAgent('alice').createSession('task');
    const { MultiServerMCPClient } = (await import(adapters ?? '')) as Adapters;
    const client = new MultiServerMCPClient({
      mcpServers: { proxy: { transport: 'http', url: await session.url() } },
    });
    const increment = (await client.getTools()).find(({ name }) => name.endsWith('increment'));
    expect(await increment?.invoke({})).toMatchObject({ text: '1' });
    await session.pause();
    expect(JSON.stringify(await increment?.invoke({}))).toMatch(/was started anew for this call/);
    await client.close();
  });
});
