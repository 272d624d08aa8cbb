import { afterEach, describe, expect, test } from 'vitest';
import { setLogLevel } from '../../src/logger.js';
import { House, type Way } from '../support/house.js';
import { local } from '../support/proxy.js';

setLogLevel('silent');

describe.each<Way>(['local', 'remote'])('through the %s door', (way) => {
  let house: House;
  afterEach(() => house[Symbol.asyncDispose]());

  test('T15 a summary holds up to an event, and originals and earlier summaries stay', async () => {
    house = await House.open(way, { servers: { counter: local('counter') } });
    const door = house.door();
    await door.create({ name: 'a' });
    expect(await door.summary('a')).toBeNull();
    await door.callTool('a', 'increment');
    const events = await door.events('a');
    const last = events.at(-1)?.seq;
    expect(await door.summarize('a', 'It counted to 1.')).toMatchObject({
      text: 'It counted to 1.',
      upTo: last,
    });
    await door.callTool('a', 'increment');
    const second = await door.summarize('a', 'It began.', 1);
    expect(second).toMatchObject({ text: 'It began.', upTo: 1 });
    expect(await door.summary('a')).toEqual(second);
    expect((await door.events('a')).slice(0, last)).toEqual(events);
    expect(await door.events('a', { track: 'summary' })).toMatchObject([
      { data: { text: 'It counted to 1.', upTo: last } },
      { data: { text: 'It began.', upTo: 1 } },
    ]);
    await house.restart();
    expect(await house.door().summary('a')).toEqual(second);
  });

  test('T15 a summary of events that never were, or without measure, is refused, and so is one by a detour', async () => {
    house = await House.open(way, { servers: { counter: local('counter') } });
    const door = house.door();
    await door.create({ name: 'a' });
    await expect(door.summarize('a', 'The future.', 100)).rejects.toMatchObject({ code: 'INVALID_PARAMS' });
    const long = 'x'.repeat(32 * 1024 + 1);
    await expect(door.summarize('a', long)).rejects.toMatchObject({ code: 'STATE_TOO_LARGE' });
    await expect(door.appendEvent('a', 'summary', 'summary', {})).rejects.toMatchObject({
      code: 'INVALID_PARAMS',
    });
    await expect(house.door('bob').summarize('a', 'Mine.')).rejects.toMatchObject({
      code: 'SESSION_NOT_FOUND',
    });
    expect(await door.summary('a')).toBeNull();
  });
});
