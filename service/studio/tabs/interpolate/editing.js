/** What can be done with the keyframes of a path. Pure: each makes others. */

import { labelFor } from "../../core/generator.js";
import { keyframeOf } from "./path.js";

/** With recipes or favourites before the keyframe at a place. */
export function withAdded({ keyframes, model }, recipes, place, card) {
  return keyframes.toSpliced(place, 0, ...recipes.map((recipe) => keyframeOf(withLabel(recipe, card), model)));
}

/** With one at another place. */
export function withMoved({ keyframes }, id, place) {
  const from = keyframes.findIndex((keyframe) => keyframe.id === id);
  return keyframes.toSpliced(from, 1).toSpliced(place, 0, keyframes[from]);
}

/** With some fields of one, or of all, changed; nothing but its transform can be changed of styles. */
export function withFields({ keyframes }, id, values) {
  const { rotation, translation } = values;
  const given = Object.entries({ rotation, translation }).filter(([, value]) => value !== undefined);
  const moves = Object.fromEntries(given);
  return keyframes.map((keyframe) => {
    if (id !== null && keyframe.id !== id) return keyframe;
    return { ...keyframe, recipe: { ...keyframe.recipe, ...(keyframe.recipe.ws ? moves : values) } };
  });
}

/** With all like one, but for their seeds. */
export function withLikeness({ keyframes }, { seed, ws, ...values }) {
  return keyframes.map((keyframe) => {
    const { seed: own, ws: styles } = keyframe.recipe;
    return styles ? keyframe : { ...keyframe, recipe: { ...values, seed: own } };
  });
}

/** Those that mean something to another model: seeds. Styles and edits are a model's own. */
export function forModel({ keyframes }, card) {
  return keyframes
    .filter(({ recipe }) => !recipe.ws)
    .map(({ recipe: { seed, truncation } }) => keyframeOf(withLabel({ seed, truncation }, card), card.name));
}

/** A recipe with a class, if the model wants one. */
function withLabel({ label: given, ...recipe }, card) {
  const label = recipe.ws ? null : labelFor(card, given);
  return label === null ? recipe : { ...recipe, label };
}
