/** What is edited, as a recipe, and as the parameters of the URL. */

import { labelFor } from "../../core/generator.js";
import { recipeFrom, textOf } from "../../core/recipe-text.js";

export const SEED = 1;
const FARTHEST = 100; // the API takes no more

/**
 * The recipe that a URL names, completed for a model.
 *
 * @param {URLSearchParams} params
 * @param {object} card of the generator
 * @returns {object} a recipe: `seed` or `ws`, with `truncation`, `label` and `edits`
 */
export function readRecipe(params, card) {
  const from = recipeFrom(params.get("from") ?? "") ?? { seed: SEED };
  const truncation = Number(params.get("truncation") ?? from.truncation ?? 1);
  return fitting(
    {
      ...from,
      truncation: Number.isFinite(truncation) ? Math.min(2, Math.max(-2, truncation)) : 1,
      label: params.get("label") ?? from.label,
      edits: { ...from.edits, ...readEdits(params.get("edits") ?? "") },
    },
    card,
  );
}

/** A recipe with what a generator has: one of its classes, none but its directions. */
export function fitting(recipe, card) {
  const names = new Set((card.directions ?? []).map(({ name }) => name));
  const edits = Object.entries(recipe.edits ?? {}).filter(([name, amount]) => names.has(name) && amount !== 0);
  return { ...recipe, model: card.name, label: labelFor(card, recipe.label), edits: Object.fromEntries(edits) };
}

/** A recipe of styles that were kept, by the name under which they were. */
export function named(recipe, favourites) {
  const title = recipe.ws && favourites.find(({ ws }) => ws === recipe.ws)?.title;
  return title ? { ...recipe, title } : recipe;
}

/** What drawn styles are called, as a favourite: by what they were made of. Seeds need no name. */
export function titleOf({ ws }, { title = "a mixture", ws: from }) {
  if (!ws) return undefined;
  return ws === from ? title : `${title.replace(/, edited$/, "")}, edited`;
}

/** The parameters of a recipe, for `View.replace`. */
export function paramsOf(recipe) {
  const { edits, truncation, label, ...from } = recipe;
  return {
    model: recipe.model,
    from: textOf(from),
    truncation: recipe.ws || truncation === 1 ? null : truncation,
    label: recipe.ws ? null : label,
    edits: Object.entries(edits)
      .map(([name, amount]) => `${encodeURIComponent(name)}:${amount}`)
      .join(","),
  };
}

function readEdits(text) {
  const edits = {};
  for (const part of text.split(",")) {
    const [, name, amount] = /^(.+):([-+.\de]+)$/.exec(part) ?? [];
    if (name && Math.abs(Number(amount)) <= FARTHEST) edits[decodeURIComponent(name)] = Number(amount);
  }
  return edits;
}

/** The picture before any edit. */
export const unedited = (recipe) => ({ ...recipe, edits: {} });

/** Whether anything is edited. */
export const isEdited = (recipe) => Object.values(recipe.edits).some((amount) => amount !== 0);
