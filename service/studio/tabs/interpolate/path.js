/**
 * What is animated: keyframes and how the path leads through them. Pure: as a call of the API, and what keeps it from
 * being one.
 */

import { keyOf } from "../../core/favourites.js";
import { fieldsOf } from "../../core/generator.js";

/**
 * @typedef {object} Keyframe
 * @property {number} id of its own, so that the same picture can be there twice
 * @property {object} recipe see `core/generator.js`; noise is the path's, not a keyframe's
 *
 * @typedef {object} Path
 * @property {string} model
 * @property {Keyframe[]} keyframes
 * @property {number} frames of the whole animation
 * @property {"w"|"z"} space
 * @property {"linear"|"ease-in"|"ease-out"|"ease-in-out"} easing
 * @property {boolean} loop
 * @property {number} fps
 * @property {"const"|"none"|number} noise
 */

export const DEFAULTS = { frames: 60, space: "w", easing: "linear", loop: false, fps: 24, noise: "const" };
export const EASINGS = ["linear", "ease-in", "ease-out", "ease-in-out"];

/** Fields of a recipe that a keyframe may have of its own. */
const STYLING = ["truncation", "truncation_cutoff", "label", "edits"];
const MOVING = ["rotation", "translation"];

let last = 0;

/** A keyframe of a recipe or a favourite. */
export function keyframeOf(recipe, model) {
  const { digest, title, noise, ...fields } = recipe;
  return { id: ++last, recipe: { ...fields, model }, title };
}

/**
 * Keyframes as the API takes them, and the fields that are the same for all and so said once.
 *
 * @param {Path} path
 * @param {boolean} [together] false: each keyframe says all of its own
 * @returns {{keyframes: (number|object)[], shared: object}}
 */
export function sourcesOf({ keyframes }, together = true) {
  const own = keyframes.map(({ recipe }) => fieldsOf(recipe));
  const shared = {};
  for (const name of together ? [...STYLING, ...MOVING] : []) {
    // Styles have no truncation any more, so that of all others says nothing of theirs.
    const having = own.filter((_, index) => MOVING.includes(name) || !keyframes[index].recipe.ws);
    if (!having.length || having[0][name] === undefined || !alike(having.map((fields) => fields[name]))) continue;
    shared[name] = having[0][name];
    for (const fields of having) delete fields[name];
  }
  const sources = keyframes.map(({ recipe }, index) => {
    if (recipe.ws) return { ws: recipe.ws, ...own[index] };
    return Object.keys(own[index]).length ? { seed: recipe.seed, ...own[index] } : recipe.seed;
  });
  return { keyframes: sources, shared };
}

const alike = (values) => new Set(values.map(canonical)).size === 1;

function canonical(value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return JSON.stringify(value);
  return JSON.stringify(Object.entries(value).filter(([, amount]) => amount).sort());
}

/** The body of `POST /v1/interpolate` that makes the frames; files say more. */
export function bodyOf(path) {
  const { keyframes, shared } = sourcesOf(path);
  const said = ["space", "easing", "loop", "noise"].filter((name) => path[name] !== DEFAULTS[name]);
  const fields = Object.fromEntries(said.map((name) => [name, path[name]]));
  return { model: path.model, keyframes, frames: path.frames, ...fields, ...shared };
}

/** What is missing or does not fit, in words; "" if the path can be drawn. */
export function obstacle({ keyframes, space }) {
  if (keyframes.length < 2) return keyframes.length ? "One more keyframe, and it moves." : "";
  if (space !== "z") return "";
  const styles = keyframes.findIndex(({ recipe }) => recipe.ws);
  if (styles >= 0) return `Keyframe ${styles + 1} is made of styles, and those have no z: lead the path through w.`;
  for (const [name, words] of [["label", "classes"], ["truncation_cutoff", "numbers of truncated layers"]]) {
    if (alike(keyframes.map(({ recipe }) => recipe[name] ?? null))) continue;
    return `There is nothing between two ${words} in z: lead the path through w.`;
  }
  return "";
}

/** The frame that a keyframe falls on, or the one just before. */
export function frameOf({ keyframes, frames, loop }, index) {
  const [segments, steps] = loop ? [keyframes.length, frames] : [keyframes.length - 1, frames - 1];
  return segments > 0 ? Math.min(frames - 1, Math.floor((index * steps) / segments)) : 0;
}

/** What the frames depend on, as text. */
export function signOf(path, digest) {
  const { keyframes, fps, ...fields } = path;
  return JSON.stringify([digest, fields, keyframes.map(({ recipe }) => keyOf(recipe))]);
}
