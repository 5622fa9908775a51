/**
 * What the tabs of generators share: a picture as a recipe, and the recipe as calls of the API.
 *
 * A recipe has the API's own names, so that it goes into bodies as it is: `model`, `seed`, `truncation`,
 * `truncation_cutoff`, `noise`, `label`, `edits`, `rotation`, `translation`; or `ws` in place of `seed`. A favourite
 * (`core/favourites.js`) is a recipe with `digest` and `title`. Draw it with `studio.pictures.of(recipe)`.
 */

import { number } from "./text.js";

export const MAX_SEED = 2 ** 32 - 1;

/** Fields of a body that decide the styles of a seed; nothing of the kind goes with `ws`. */
const STYLING = ["truncation", "truncation_cutoff", "label", "edits"];
/** Fields that decide the picture, whatever its styles. */
const DRAWING = ["noise", "rotation", "translation"];
/** What is the same as leaving it out. */
const DEFAULTS = { truncation: 1, noise: "const", rotation: 0 };

/**
 * The generator that is shown when none is asked for: one with directions, which every tab can use, and that needs
 * no label; then the first.
 *
 * @param {object[]} cards of `studio.models.ofKind("generator")`
 */
export function preferred(cards) {
  const rank = (card) => (card.directions?.length ? 0 : 2) + (needsLabel(card) ? 1 : 0);
  return [...cards].sort((one, other) => rank(one) - rank(other))[0];
}

/** Whether a generator wants a class with each picture. */
export function needsLabel(card) {
  return labelsOf(card).length > 0;
}

/**
 * The classes of a generator as choices for `controls.choice`; none if it has no classes.
 *
 * @returns {{value: string, text: string}[]} `value` goes into a recipe as `label`
 */
export function labelsOf(card) {
  if (card?.classes?.length) return card.classes.map((name) => ({ value: name, text: name }));
  return Array.from({ length: card?.c_dim ?? 0 }, (_, index) => ({ value: String(index), text: `Class ${index}` }));
}

/** A label that the generator has: the given one, or else its first; null for one without classes. */
export function labelFor(card, label) {
  const labels = labelsOf(card);
  return (labels.find(({ value }) => value === String(label)) ?? labels[0])?.value ?? null;
}

/** Whether a generator takes `rotation` or `translation`. */
export const transforms = (card, name) => card?.transforms?.includes(name) ?? false;

/**
 * A recipe without what is as good as left out: the shortest that makes the same pixels, for bodies and commands.
 *
 * @param {object} recipe
 * @returns {object} the fields that `POST /v1/generate` has, without `model`, `seed` and `ws`
 */
export function fieldsOf(recipe) {
  const names = recipe.ws ? DRAWING : [...STYLING, ...DRAWING];
  return Object.fromEntries(names.filter((name) => says(name, recipe[name])).map((name) => [name, recipe[name]]));
}

function says(name, value) {
  if (value === null || value === undefined || value === DEFAULTS[name]) return false;
  if (name === "edits") return Object.values(value).some((amount) => amount !== 0);
  if (name === "translation") return value.some((part) => part !== 0);
  return true;
}

/**
 * The body of `POST /v1/generate` for one picture, or for several that differ in their seeds.
 *
 * @param {object} recipe
 * @param {number[]} [seeds] instead of the recipe's own
 */
export function bodyOf(recipe, seeds) {
  const source = recipe.ws ? { ws: [recipe.ws] } : { seeds: seeds ?? [recipe.seed] };
  return { model: recipe.model, ...source, ...fieldsOf(recipe) };
}

/** A recipe as it is kept: with the digest of the model that made it, without what is as good as left out. */
export function favouriteOf(recipe, digest) {
  const { model, seed, ws, title } = recipe;
  const said = Object.entries({ seed, ws, title }).filter(([, value]) => value !== undefined);
  return { model, digest, ...Object.fromEntries(said), ...fieldsOf(recipe) };
}

/**
 * The path of the image of a seed, which caches may keep if a digest is given.
 *
 * @param {object} recipe with a seed
 * @param {object} [options]
 * @param {"png"|"jpg"|"webp"} [options.format] lossless but for jpg, as long as no quality is given
 * @param {number} [options.quality]
 * @param {string} [options.digest] of the model: the server refuses if it has another by now
 */
export function picturePath(recipe, { format = "webp", quality, digest } = {}) {
  const { edits, translation, ...fields } = fieldsOf(recipe);
  const query = new URLSearchParams(Object.entries(fields).map(([name, value]) => [name, String(value)]));
  if (edits) {
    const amounts = Object.entries(edits).filter(([, amount]) => amount);
    query.set("edits", amounts.map(([name, amount]) => `${name}:${amount}`).join(","));
  }
  if (translation) query.set("translation", translation.join(","));
  if (quality) query.set("quality", quality);
  if (digest) query.set("digest", digest);
  const path = `v1/models/${encodeURIComponent(recipe.model)}/images/${recipe.seed}.${format}`;
  return query.size ? `${path}?${query.toString().replaceAll("%2C", ",").replaceAll("%3A", ":")}` : path;
}

/** A recipe in words, as for `alt`: "terrain, seed 42, ψ 0.7". */
export function describe(recipe) {
  const { truncation, label, edits, noise, rotation, translation } = fieldsOf(recipe);
  const edited = Object.entries(edits ?? {}).filter(([, amount]) => amount);
  return [
    recipe.model,
    recipe.title ?? (recipe.ws ? "a mixture" : `seed ${recipe.seed}`),
    label ?? "",
    truncation === undefined ? "" : `ψ ${number(truncation)}`,
    noise === undefined ? "" : noise === "none" ? "no noise" : `noise ${noise}`,
    ...edited.map(([name, amount]) => `${name} ${number(amount)}`),
    rotation ? `turned ${number(rotation)}°` : "",
    translation ? `moved ${translation.map(number).join(", ")}` : "",
  ]
    .filter((part) => part !== "")
    .join(", ");
}
