/**
 * What is crossed: seeds, which take truncation and class of the grid, and favourites, which have their own. A source
 * is `{seed}` or `{own: recipe}`.
 */

import { recipeFrom, textOf } from "../../core/recipe-text.js";

export const MOST = 12; // in a row or a column

/** A favourite as a source: its styles alone, as noise and moves are the grid's. */
export function sourceOf({ seed, ws, truncation = 1, truncation_cutoff, label, edits, title }) {
  if (ws) return { own: { ws, title } };
  const own = { seed, truncation, truncation_cutoff, label, edits };
  return { own: Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined && value !== null)) };
}

/** The same text for the same source, for URLs. */
export function sourceText({ seed, own }) {
  if (!own) return String(seed);
  return !own.ws && own.truncation === 1 ? `${textOf(own)}*truncation:1` : textOf(own);
}

/** What `sourceText` wrote; null if it is nothing of the kind. */
export function readSource(text) {
  const recipe = recipeFrom(text);
  if (recipe === null) return null;
  const { seed, ...rest } = recipe;
  return Object.keys(rest).length ? sourceOf(recipe) : { seed };
}

/** A source whose styles were kept, by the name under which they were. */
export function named(source, favourites) {
  const title = source.own?.ws && favourites.find(({ ws }) => ws === source.own.ws)?.title;
  return title ? { own: { ...source.own, title } } : source;
}

/** The picture of a source by itself, as a recipe. */
export function recipeOf({ seed, own }, { model, truncation, label }) {
  return { model, ...(own ?? { seed, truncation, label }) };
}

/** As the API takes it, where the call has a class already. */
export function sourceJson({ seed, own }, label, labelOfCall) {
  if (!own) return label === labelOfCall ? seed : { seed, label };
  const { title: _, ...fields } = own;
  return fields;
}

/** What people call it. */
export function nameOf({ seed, own }) {
  if (!own) return String(seed);
  return own.title ?? (own.ws ? "mixture" : `★ ${own.seed}`);
}
