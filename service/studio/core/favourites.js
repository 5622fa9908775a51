/**
 * Images the user keeps: not their pixels but what makes them, so that they come back as they were, also as
 * keyframes, rows and columns of other tabs. Kept by the browser; one that keeps nothing forgets them at the end.
 */

const PLACE = "ganserve.favourites";
const MOST = 200;

/**
 * @typedef {object} Favourite
 * @property {string} model name of a generator
 * @property {string} digest of its version then; another makes other pixels
 * @property {number} [seed]
 * @property {number} [truncation]
 * @property {number} [truncation_cutoff]
 * @property {string|number} [noise] as `POST /v1/generate` takes it
 * @property {string|number|number[]|null} [label] likewise
 * @property {Record<string, number>} [edits] likewise
 * @property {number} [rotation] likewise
 * @property {number[]} [translation] likewise
 * @property {string} [title] what a screen reader calls it; of a mixture "3 × 7", say
 * @property {string} [ws] of what no seed makes, as a mixture: in base64, as `POST /v1/latents` returns them
 * @property {string} [mixture] what was crossed, so that Mix knows it again
 */

/** Events: `change`. */
export class Favourites extends EventTarget {
  #kept = [];

  constructor() {
    super();
    this.#kept = read();
    addEventListener("storage", (event) => {
      if (event.key !== PLACE) return;
      this.#kept = read();
      this.dispatchEvent(new Event("change"));
    });
  }

  /** @returns {Favourite[]} the newest last */
  get all() {
    return this.#kept;
  }

  /** Those of a generator. */
  of(model) {
    return this.#kept.filter((kept) => kept.model === model);
  }

  has(favourite) {
    const key = keyOf(favourite);
    return this.#kept.some((kept) => keyOf(kept) === key);
  }

  /** Keeps one, or no longer; says which. */
  toggle(favourite) {
    const kept = !this.has(favourite);
    if (kept) this.add(favourite);
    else this.remove(favourite);
    return kept;
  }

  add(favourite) {
    if (this.has(favourite)) return;
    this.#write([...this.#kept, favourite].slice(-MOST));
  }

  remove(favourite) {
    const key = keyOf(favourite);
    this.#write(this.#kept.filter((kept) => keyOf(kept) !== key));
  }

  #write(all) {
    this.#kept = all;
    try {
      localStorage.setItem(PLACE, JSON.stringify(all));
    } catch {
      // Storage is full or forbidden: they are kept until the page is closed.
    }
    this.dispatchEvent(new Event("change"));
  }
}

function read() {
  try {
    const kept = JSON.parse(localStorage.getItem(PLACE) ?? "[]");
    return Array.isArray(kept) ? kept.filter((one) => typeof one?.model === "string") : [];
  } catch {
    return [];
  }
}

/** What makes the same pixels has the same key, in whatever order it was said. */
export function keyOf(recipe) {
  const { model, seed, truncation = 1, truncation_cutoff = null, noise = "const", label = null, ws = null } = recipe;
  const amounts = Object.entries(recipe.edits ?? {}).filter(([, amount]) => amount).sort();
  const moved = [recipe.rotation ?? 0, ...(recipe.translation ?? [0, 0])];
  return JSON.stringify([model, seed, truncation, truncation_cutoff, noise, label, amounts, ws, moved]);
}
