// Hanging protocol: the sequences of the case side by side, scrolling together in patient space.
import { current } from './case.js';

const MOST_COLUMNS = 3;
export const viewportId = number => `renal-${number}`;

/** Series of the case, each once, in the order of the server's table. */
export const seriesOf = () => [...new Set((current?.images ?? []).map(image => image.series))];

export function protocol() {
  const series = seriesOf();
  const count = Math.max(series.length, 1);
  const columns = count === 4 ? 2 : Math.min(count, MOST_COLUMNS);
  const viewportOptions = {
    viewportType: 'stack',
    toolGroupId: 'default',
    allowUnmatchedView: true,
    initialImageOptions: { preset: 'middle' },
    syncGroups: [{ type: 'imageslice', id: 'renal-scroll', source: true, target: true }],
  };
  const numbers = Array.from({ length: count }, (_, number) => number);
  const rule = uid => ({ attribute: 'SeriesInstanceUID', constraint: { equals: { value: uid } }, required: true });
  return {
    protocol: {
      id: 'renal',
      name: 'Sequences side by side',
      protocolMatchingRules: [],
      toolGroupIds: ['default'],
      numberOfPriorsReferenced: -1,
      defaultViewport: { viewportOptions, displaySets: [{ id: 's0', matchedDisplaySetsIndex: -1 }] },
      displaySetSelectors: Object.fromEntries(numbers.map(n => [`s${n}`, { seriesMatchingRules: [rule(series[n] ?? 'none')] }])),
      stages: [
        {
          name: 'side by side',
          viewportStructure: { layoutType: 'grid', properties: { rows: Math.ceil(count / columns), columns } },
          viewports: numbers.map(n => ({ viewportOptions: { ...viewportOptions, viewportId: viewportId(n) }, displaySets: [{ id: `s${n}` }] })),
        },
      ],
    },
  };
}
