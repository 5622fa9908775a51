/**
 * Recipes as text for URLs: `7`, `7*truncation:0.5*edit:direction-01:2`, or `ws:…` for what no seed makes. Without the
 * model, which a view names once; several are joined with commas.
 */

/** @param {object} recipe see `core/favourites.js`; its title and digest are left out */
export function textOf({ seed, ws, truncation, truncation_cutoff, noise, label, edits, rotation, translation }) {
  const parts = [ws ? `ws:${ws.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}` : String(seed)];
  const add = (name, value) => parts.push(`${name}:${value}`);
  if (!ws) {
    if (truncation !== undefined && truncation !== 1) add("truncation", truncation);
    if (Number.isInteger(truncation_cutoff)) add("truncation_cutoff", truncation_cutoff);
    if (label !== undefined && label !== null) add("label", escaped(label));
    for (const [name, amount] of Object.entries(edits ?? {})) if (amount) add("edit", `${escaped(name)}:${amount}`);
  }
  if (noise !== undefined && noise !== "const") add("noise", noise);
  if (rotation) add("rotation", rotation);
  if (translation?.some(Boolean)) add("translation", translation.join(":"));
  return parts.join("*");
}

/**
 * What `textOf` wrote, or what somebody typed.
 *
 * @param {string} text
 * @returns {object|null} a recipe without its model; null if it is none
 */
export function recipeFrom(text) {
  const [source, ...parts] = text.trim().split("*");
  const recipe = sourceFrom(source);
  if (recipe === null) return null;
  for (const part of parts) {
    const [name, ...values] = part.split(":");
    if (!Object.hasOwn(READ, name) || values.length === 0) return null;
    if (!READ[name](recipe, values)) return null;
  }
  return recipe;
}

/** Those of a list; what cannot be read is left out. */
export const recipesFrom = (text) => (text ?? "").split(",").map(recipeFrom).filter((recipe) => recipe !== null);

const READ = {
  truncation: (recipe, [value]) => Number.isFinite((recipe.truncation = Number(value))),
  truncation_cutoff: (recipe, [value]) => Number.isInteger((recipe.truncation_cutoff = Number(value))),
  label: (recipe, [value]) => (recipe.label = plain(value)) !== "",
  edit: (recipe, [name, amount]) => Number.isFinite(((recipe.edits ??= {})[plain(name)] = Number(amount))),
  noise: (recipe, [value]) => (recipe.noise = /^\d+$/.test(value) ? Number(value) : value) !== "",
  rotation: (recipe, [value]) => Number.isFinite((recipe.rotation = Number(value))),
  translation: (recipe, values) => (recipe.translation = values.map(Number)).every(Number.isFinite),
};

function sourceFrom(text) {
  if (/^\d{1,10}$/.test(text) && Number(text) < 2 ** 32) return { seed: Number(text) };
  const styles = /^ws:([\w-]+)$/.exec(text)?.[1];
  if (!styles) return null;
  const base64 = styles.replaceAll("-", "+").replaceAll("_", "/");
  return { ws: base64.padEnd(Math.ceil(base64.length / 4) * 4, "=") };
}

const escaped = (text) => encodeURIComponent(text).replaceAll("*", "%2A");

function plain(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
