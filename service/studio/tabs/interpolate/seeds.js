/** Keyframes as they are typed: "7, 42, 100-103, random", or recipes out of a URL. */

import { recipeFrom } from "../../core/recipe-text.js";
import { MAX_SEED } from "../../core/generator.js";

const MOST = 64;

/** A seed nobody chose. */
export const randomSeed = () => Math.floor(Math.random() * 1_000_000);

/**
 * @param {string} text
 * @returns {object[]} recipes without a model
 * @throws {RangeError} whose message says what is wrong
 */
export function recipesOf(text) {
  const parts = text.split(/[,;\s]+/).filter(Boolean);
  if (!parts.length) throw new RangeError("Type seeds, such as 7, 42, 100.");
  const recipes = parts.flatMap(recipesOfPart);
  if (recipes.length > MOST) throw new RangeError(`At most ${MOST} keyframes are added at a time.`);
  return recipes;
}

function recipesOfPart(part) {
  if (/^(random|\?)$/i.test(part)) return [{ seed: randomSeed() }];
  const [, first, last] = /^(\d+)[-–](\d+)$/.exec(part) ?? [];
  if (first === undefined) {
    const recipe = recipeFrom(part);
    if (recipe) return [recipe];
    throw new RangeError(`“${part.slice(0, 30)}” is no seed: those are whole numbers up to ${MAX_SEED}.`);
  }
  const [from, to] = [Number(first), Number(last)];
  if (to > MAX_SEED) throw new RangeError(`${to} is too large; the largest seed is ${MAX_SEED}.`);
  if (Math.abs(to - from) >= MOST) throw new RangeError(`At most ${MOST} keyframes are added at a time.`);
  return Array.from({ length: Math.abs(to - from) + 1 }, (_, step) => ({ seed: from + Math.sign(to - from) * step }));
}
