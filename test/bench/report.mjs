// Figures to Markdown, and the goals against them.

import { peers } from './contestants.mjs';

const OWN = 'mcp-session-proxy';

export function median(values) {
  const known = values.filter(Number.isFinite).sort((a, b) => a - b);
  const middle = known.length >> 1;
  return known.length % 2
    ? known[middle]
    : known.length
      ? (known[middle - 1] + known[middle]) / 2
      : undefined;
}

const show = (value, digits = 0) => (value === undefined ? '' : value.toFixed(digits));

/** The first `texts` columns are text, the rest numbers. */
function table(texts, head, rows) {
  const rule = head.map((_, i) => (i < texts ? '-' : '-:'));
  return [head, rule, ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

/**
 * The runs of one bench: one record a contestant, scenario and round. Noise on a machine moves everything that runs at
 * that time, so two contestants are compared within a round, and the median is taken of the ratios.
 */
export class Figures {
  #runs = [];
  coldStarts = new Map();

  /** A run with a fault has no figures: a contestant that fails early would shine. */
  add({ name, scenario, round, tally, ...figures }) {
    const isClean = tally.crossed + tally.lost + tally.failed === 0;
    this.#runs.push({ name, scenario, round, tally, isClean, ...(isClean ? figures : {}) });
  }

  of(name, scenario) {
    return this.#runs.filter((run) => run.name === name && run.scenario === scenario);
  }

  median(name, scenario, figure) {
    return median(this.of(name, scenario).map((run) => run[figure]));
  }

  /** `others`: in each round the cheapest of them. */
  ratio(name, others, scenario, figure) {
    const cheapest = (round) =>
      Math.min(
        ...others.flatMap(
          (other) => this.of(other, scenario).find((run) => run.round === round)?.[figure] ?? [],
        ),
      );
    const ratios = this.of(name, scenario).map((run) => run[figure] / cheapest(run.round));
    return median(ratios.filter((ratio) => ratio > 0));
  }

  faults() {
    return this.#runs.filter(({ isClean }) => !isClean);
  }
}

export function renderFigures(figures, names, scenarios) {
  const rows = scenarios.flatMap(({ name: scenario }) =>
    names
      .filter((name) => figures.of(name, scenario).length > 0)
      .map((name) => {
        const value = (figure, digits) => show(figures.median(name, scenario, figure), digits);
        const runs = figures.of(name, scenario);
        const sum = (kind) => runs.reduce((total, run) => total + run.tally[kind], 0);
        return [
          scenario,
          name,
          ...[value('callsPerSecond'), value('p50'), value('p99'), value('cpu')],
          show(figures.ratio(name, ['floor'], scenario, 'cpu'), 2),
          value('rss', 1),
          `${sum('crossed')} / ${sum('lost')} / ${sum('failed')}`,
        ];
      }),
  );
  const head = [
    'scenario',
    'contestant',
    'calls/s',
    'p50 us',
    'p99 us',
    'CPU us/call',
    'CPU / floor',
    'RSS MB',
  ];
  const cold = [...figures.coldStarts].map(([name, ms]) => [name, show(median(ms))]);
  return [
    table(2, [...head, 'crossed / lost / failed'], rows),
    cold.length > 0 ? table(1, ['cold start', 'ms to listening'], cold) : '',
  ].join('\n\n');
}

function goal(text, limit, unit, measured, basis) {
  const verdict = measured === undefined ? 'not measured' : measured <= limit ? 'met' : 'MISSED';
  const number = (value) => (unit === 'x' ? `${show(value, 2)} x` : `${show(value)} ${unit}`);
  return [text, verdict, measured === undefined ? '' : number(measured), `<= ${number(limit)}`, basis];
}

/** Reported, never forced: a number on a busy machine is no verdict on the code. */
export function renderGoals(figures) {
  const cpu = (scenario, limit, others, title) => {
    const us = (name) => show(figures.median(name, scenario, 'cpu'));
    const basis = [OWN, ...others].filter(us).map((name) => `${name} ${us(name)} us`);
    const what = scenario === 'blob' ? '5 MB result' : `${scenario} sessions`;
    const ratio = figures.ratio(OWN, others, scenario, 'cpu');
    return goal(`CPU a call against ${title}, ${what}`, limit, 'x', ratio, basis.join(', '));
  };
  return table(
    5,
    ['goal', 'verdict', 'measured', 'limit', 'medians'],
    [
      ...['8', '64'].map((scenario) => cpu(scenario, 1.5, ['floor'], 'the floor')),
      ...['8', '64'].map((scenario) => cpu(scenario, 1 / 3, peers, 'the cheaper peer')),
      cpu('blob', 0.5, ['floor'], 'the floor'),
      goal('RSS at 8 sessions', 100, 'MB', figures.median(OWN, '8', 'rss'), ''),
      goal('cold start to listening', 400, 'ms', median(figures.coldStarts.get(OWN) ?? []), ''),
    ],
  );
}
