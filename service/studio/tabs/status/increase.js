/** What counters and histograms say between two looks at them. */

/** @typedef {Map<string, import("./prometheus.js").Sample[]>} Look all samples of one moment */

/**
 * How much a counter has grown, by whatever its labels are grouped.
 *
 * One that was not there has begun from 0; one that is smaller than before has begun anew with its server, as
 * Prometheus' `increase` takes it.
 *
 * @param {Look} before
 * @param {Look} after
 * @param {string} name
 * @param {(labels: Record<string, string>) => string|null} group null leaves a series out
 * @returns {Map<string, number>}
 */
export function increase(before, after, name, group) {
  const then = new Map((before.get(name) ?? []).map((sample) => [sample.key, sample.value]));
  const grown = new Map();
  for (const { labels, key, value } of after.get(name) ?? []) {
    const into = group(labels);
    if (into === null || !Number.isFinite(value)) continue;
    const began = then.get(key) ?? 0;
    grown.set(into, (grown.get(into) ?? 0) + (value < began ? value : value - began));
  }
  return grown;
}

/** The same over several looks, one after the other. */
export function increaseOver(looks, name, group) {
  const total = new Map();
  for (let place = 1; place < looks.length; place++) {
    for (const [into, grown] of increase(looks[place - 1], looks[place], name, group)) {
      total.set(into, (total.get(into) ?? 0) + grown);
    }
  }
  return total;
}

/**
 * The value below which a share of what a histogram counted lies, as Prometheus' `histogram_quantile` has it: linear
 * within a bucket, and the last bound that is a number for what lies beyond.
 *
 * @param {number} share from 0 to 1
 * @param {Map<string, number>} buckets cumulative counts by their bound `le`
 * @returns {number|null} null if nothing was counted
 */
export function quantile(share, buckets) {
  const sorted = [...buckets]
    .map(([bound, count]) => [bound === "+Inf" ? Infinity : Number(bound), count])
    .sort(([a], [b]) => a - b);
  const total = sorted.at(-1)?.[1] ?? 0;
  if (!(total > 0)) return null;
  const rank = share * total;
  let [low, below] = [0, 0];
  for (const [bound, count] of sorted) {
    if (count >= rank) {
      if (bound === Infinity) return low;
      return count === below ? bound : low + ((bound - low) * (rank - below)) / (count - below);
    }
    [low, below] = [bound, count];
  }
  return low;
}
