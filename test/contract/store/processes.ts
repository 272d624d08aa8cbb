import { expect, test } from 'vitest';
import { Place, type Medium } from './medium.js';

const mark = (pid: number) => ({ pid, started: `boot/${pid}` });

export function keepsProcesses(medium: Medium): void {
  test('every proxy is told that registered and was not removed', () => {
    using place = new Place(medium);
    const { processes } = place.store;
    expect(processes.instances()).toEqual([]);
    processes.registerInstance('a', mark(1), 10);
    processes.registerInstance('b', mark(2), 20);
    processes.removeInstance('a');
    processes.removeInstance('nobody');
    expect(processes.instances()).toEqual([{ id: 'b', mark: mark(2), url: null }]);
    processes.setUrl('b', 'http://127.0.0.1:1/mcp');
    expect(processes.instances()).toMatchObject([{ id: 'b', url: 'http://127.0.0.1:1/mcp' }]);
  });

  test('children are told with the proxy that started them', () => {
    using place = new Place(medium);
    const { processes } = place.store;
    processes.addChild('a', mark(1));
    processes.addChild('a', mark(2));
    processes.addChild('b', mark(3));
    expect(processes.childrenOf('a')).toEqual([mark(1), mark(2)]);
    expect(processes.childrenOf('b')).toEqual([mark(3)]);
    expect(processes.childrenOf('nobody')).toEqual([]);
  });

  test('a child is removed by number and start time together', () => {
    using place = new Place(medium);
    const { processes } = place.store;
    processes.addChild('a', mark(1));
    processes.removeChild({ pid: 1, started: 'boot/other' });
    expect(processes.childrenOf('a')).toEqual([mark(1)]);
    processes.removeChild(mark(1));
    expect(processes.childrenOf('a')).toEqual([]);
  });

  test('a number that was given out again is another child', () => {
    using place = new Place(medium);
    const { processes } = place.store;
    const [first, second] = [
      { pid: 1, started: 'boot/1' },
      { pid: 1, started: 'boot/2' },
    ];
    processes.addChild('a', first);
    processes.addChild('b', second);
    expect([processes.childrenOf('a'), processes.childrenOf('b')]).toEqual([[first], [second]]);
  });

  test('with a proxy go its children from the list', () => {
    using place = new Place(medium);
    const { processes } = place.store;
    processes.registerInstance('a', mark(9), 1);
    processes.addChild('a', mark(1));
    processes.addChild('b', mark(2));
    processes.removeInstance('a');
    expect([processes.childrenOf('a'), processes.childrenOf('b')]).toEqual([[], [mark(2)]]);
  });
}
