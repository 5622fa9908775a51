/** Seeds as people write them, "0-11, 42"; as `ganserve generate --seeds` reads them. */

import { MAX_SEED } from "./generator.js";

/**
 * The seeds that a text lists, in its order.
 *
 * @param {string} text
 * @param {number} [most]
 * @returns {number[]}
 * @throws {RangeError} whose message says which part is wrong, and how
 */
export function parseSeeds(text, most = 64) {
  const seeds = new Set();
  for (const part of text.split(",").map((one) => one.trim())) {
    const match = /^(\d+)(?:\s*[-–]\s*(\d+))?$/.exec(part);
    if (!match) throw new RangeError(part ? `“${part}” is neither a seed nor a range.` : "Write seeds like 0-11, 42.");
    const [first, last] = [Number(match[1]), Number(match[2] ?? match[1])];
    if (last < first) throw new RangeError(`The range ${part} runs backwards.`);
    if (last > MAX_SEED) throw new RangeError(`${last} is too large; the largest seed is ${MAX_SEED}.`);
    if (last - first >= most) throw new RangeError(`At most ${most} pictures at a time; Jobs makes any number.`);
    for (let seed = first; seed <= last; seed++) seeds.add(seed);
    if (seeds.size > most) throw new RangeError(`At most ${most} pictures at a time; Jobs makes any number.`);
  }
  return [...seeds];
}

/** The shortest such text of some seeds, in their order. */
export function writeSeeds(seeds) {
  return runsOf(seeds)
    .map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`))
    .join(",");
}

/** Whether they count up one by one. */
export const isRun = (seeds) => runsOf(seeds).length === 1;

function runsOf(seeds) {
  const runs = [];
  for (const seed of seeds) {
    const run = runs.at(-1);
    if (run && seed === run[1] + 1) run[1] = seed;
    else runs.push([seed, seed]);
  }
  return runs;
}

/** As many seeds after the largest (1) or before the smallest (-1). */
export function turnedPage(seeds, direction) {
  const first = direction > 0 ? Math.max(...seeds) + 1 : Math.min(...seeds) - seeds.length;
  return run(Math.min(Math.max(0, first), MAX_SEED - seeds.length + 1), seeds.length);
}

/** So many seeds after the largest, as far as there are any. */
export const seedsAfter = (seeds, count) => run(Math.max(...seeds) + 1, count).filter((seed) => seed <= MAX_SEED);

/** Seeds that nobody chose: a run from anywhere, since neighbours are no more alike than others. */
export const randomSeeds = (count) => run(Math.floor(Math.random() * 1_000_000), count);

const run = (first, count) => Array.from({ length: count }, (_, index) => first + index);
