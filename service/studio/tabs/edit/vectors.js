/**
 * Edits of styles. The server edits seeds; of a mixture there are styles only, which are moved here: directions are
 * straight lines in W, so the line of one seed is that of all.
 */

import { labelFor } from "../../core/generator.js";

export class Vectors {
  #known = new Map(); // digest -> Promise of name -> Float32Array

  /** @param {import("../../core/api.js").Api} api */
  constructor(api) {
    this.api = api;
  }

  /**
   * The recipe that the server can draw: edits of styles are in the styles.
   *
   * @param {object} recipe
   * @param {object} card of its generator
   * @param {AbortSignal} signal
   */
  async drawable(recipe, card, signal) {
    const amounts = Object.entries(recipe.edits ?? {}).filter(([, amount]) => amount !== 0);
    if (!recipe.ws) return recipe;
    const { edits: _, ...rest } = recipe;
    if (!amounts.length) return rest;
    const vectors = await this.#of(card, signal);
    const styles = numbers(recipe.ws);
    for (const [name, amount] of amounts) {
      const vector = vectors.get(name);
      for (let n = 0; n < styles.length; n++) styles[n] += amount * vector[n];
    }
    return { ...rest, ws: text(styles) };
  }

  /** How far strength 1 of each direction moves styles. */
  async #of(card, signal) {
    const known = this.#known.get(card.digest);
    if (known) return known;
    const names = card.directions.map(({ name }) => name);
    const latents = [{ seed: 0 }, ...names.map((name) => ({ seed: 0, edits: { [name]: 1 } }))];
    const json = { model: card.name, latents, label: labelFor(card) ?? undefined };
    const { data } = await this.api.json("v1/latents", { json, signal });
    const [origin, ...moved] = data.map(({ ws }) => numbers(ws));
    const vectors = new Map(names.map((name, n) => [name, moved[n].map((value, at) => value - origin[at])]));
    this.#known.set(card.digest, vectors);
    return vectors;
  }
}

/** Little-endian float32 values out of base64. */
export function numbers(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, n) => view.getFloat32(4 * n, true));
}

function text(values) {
  const view = new DataView(new ArrayBuffer(4 * values.length));
  values.forEach((value, n) => view.setFloat32(4 * n, value, true));
  return btoa(Array.from(new Uint8Array(view.buffer), (byte) => String.fromCharCode(byte)).join(""));
}
