/** What was seen of the server in the last minutes. */

import { increase } from "./increase.js";
import { MEASURES, Window } from "./measures.js";

/** Over which rates and quantiles are taken. */
export const WINDOW_SECONDS = 10;
const KEPT_SECONDS = 600;
/** After a longer pause nothing is said about what happened in it. */
const PAUSE_SECONDS = 7;

/**
 * @typedef {object} Point
 * @property {number} at milliseconds
 * @property {string|null} gap why nothing is known: "away", "not watched"; null if it is
 * @property {Record<string, Record<string, number|null>>} values of series, by measure
 * @property {Record<string, Record<string, number>>} counts since the point before, likewise
 */

export class History {
  /** @type {Point[]} */
  points = [];
  #looks = [];

  /** The newest look; null if the server is away, or was never asked. */
  get latest() {
    return this.#looks.at(-1)?.look ?? null;
  }

  /** Takes what the server told at a time. */
  add(look, at = Date.now()) {
    if (this.points.length && at - this.points.at(-1).at > PAUSE_SECONDS * 1000) this.#gap("not watched", at - 1);
    const before = this.#looks.at(-1)?.look;
    this.#looks.push({ at, look });
    while (this.#looks.length > 2 && at - this.#looks[1].at >= WINDOW_SECONDS * 1000) this.#looks.shift();
    const window = new Window(this.#looks);
    this.#keep({
      at,
      gap: null,
      values: Object.fromEntries(MEASURES.map(({ id, read }) => [id, read(window)])),
      counts: before ? countsBetween(before, look) : {},
    });
  }

  /** The server did not answer. */
  away(at = Date.now()) {
    this.#gap("away", at);
  }

  /** How often each series of a measure was counted since a time. */
  countsSince(measure, since) {
    const sums = {};
    for (const { at, counts } of this.points) {
      if (at < since) continue;
      for (const [series, count] of Object.entries(counts[measure] ?? {})) sums[series] = (sums[series] ?? 0) + count;
    }
    return sums;
  }

  #gap(gap, at) {
    this.#looks = [];
    this.#keep({ at, gap, values: {}, counts: {} });
  }

  #keep(point) {
    this.points.push(point);
    while (point.at - this.points[0].at > KEPT_SECONDS * 1000) this.points.shift();
  }
}

function countsBetween(before, after) {
  const counted = MEASURES.filter(({ counter }) => counter);
  return Object.fromEntries(
    counted.map(({ id, counter, group }) => [id, Object.fromEntries(increase(before, after, counter, group))]),
  );
}
