/** Pictures of generators by their recipes: each is asked for once, a few at a time, and kept for a while. */

import { keyOf } from "./favourites.js";
import { bodyOf, picturePath } from "./generator.js";

/** Small, and to the eye the same; large views and downloads are lossless. */
export const THUMBNAIL_QUALITY = 85;
const MOST_KEPT = 600;
const AT_A_TIME = 4;

/**
 * @typedef {object} Picture
 * @property {Blob} blob WebP
 * @property {string} digest of the model that made it
 * @property {string} sha256 of its pixels before they were compressed
 * @property {boolean} lossless
 */

/** One for the whole page, as `studio.pictures`, so that going to another tab and back asks for nothing again. */
export class Pictures {
  #kept = new Map();
  #busy = 0;
  #line = [];

  /** @param {import("./api.js").Api} api */
  constructor(api) {
    this.api = api;
  }

  /**
   * The picture of a recipe: from memory if it was there lately, else in its turn from the server.
   *
   * @param {object} recipe see `core/generator.js`
   * @param {object} [options]
   * @param {AbortSignal} [options.signal] calls it off
   * @param {string} [options.digest] of the model now; pictures of other weights are not taken from memory
   * @param {boolean} [options.lossless] the very pixels, rather than a small file
   * @param {boolean} [options.atOnce] before those that wait for their turn
   * @returns {Promise<Picture>}
   * @throws {import("./problem.js").Problem}
   */
  async of(recipe, { signal, digest = "", lossless = false, atOnce = false } = {}) {
    const key = `${lossless} ${digest} ${keyOf(recipe)}`;
    const known = this.#kept.get(key);
    if (known) return this.#keep(key, known);
    if (!atOnce) await this.#turn(signal);
    try {
      signal?.throwIfAborted();
      return this.#keep(key, this.#kept.get(key) ?? (await this.#ask(recipe, digest, lossless, signal)));
    } finally {
      if (!atOnce) this.#next();
    }
  }

  /** What is in memory of a recipe, or undefined. */
  known(recipe, { digest = "", lossless = false } = {}) {
    return this.#kept.get(`${lossless} ${digest} ${keyOf(recipe)}`);
  }

  async #ask(recipe, digest, lossless, signal) {
    const quality = lossless ? undefined : THUMBNAIL_QUALITY;
    const call = recipe.ws
      ? this.api.blob("v1/generate", { json: { ...bodyOf(recipe), quality }, accept: "image/webp", signal })
      : this.api.blob(picturePath(recipe, { quality, digest }), { accept: "image/webp", signal });
    const { blob, headers } = await call;
    const made = { blob, digest: headers.get("x-model-digest"), sha256: headers.get("x-pixels-sha256"), lossless };
    return made;
  }

  #keep(key, picture) {
    this.#kept.delete(key); // so that it is the newest
    this.#kept.set(key, picture);
    if (this.#kept.size > MOST_KEPT) this.#kept.delete(this.#kept.keys().next().value);
    return picture;
  }

  /** Waits for a place; whoever is called off leaves the line. */
  async #turn(signal) {
    signal?.throwIfAborted();
    if (this.#busy < AT_A_TIME) {
      this.#busy++;
      return;
    }
    await new Promise((resolve, reject) => {
      const waiting = { resolve };
      const left = () => {
        const place = this.#line.indexOf(waiting);
        if (place < 0) return; // its turn has come
        this.#line.splice(place, 1);
        reject(new DOMException("Called off", "AbortError"));
      };
      waiting.left = () => signal?.removeEventListener("abort", left);
      this.#line.push(waiting);
      signal?.addEventListener("abort", left, { once: true });
    });
  }

  #next() {
    const waiting = this.#line.shift();
    if (waiting) {
      waiting.left();
      waiting.resolve(); // takes over the place
    } else this.#busy--;
  }
}

