/** Mixtures as favourites: no seed makes them, so their styles are kept, which every tab can use. */

import { isAbort } from "../../core/problem.js";
import { bodyOf, crossingKey } from "./setting.js";
import { layersText } from "./layers.js";
import { nameOf } from "./sources.js";

export class Keeping {
  #soon = new Set();

  /** @param {import("../../core/tab.js").Tab} tab */
  constructor(tab) {
    this.tab = tab;
  }

  /** "yes", "no", or "soon" while its styles are asked for. */
  state(setting, row, column) {
    if (this.#soon.has(keyOf(setting, row, column))) return "soon";
    return this.#kept(setting, row, column) ? "yes" : "no";
  }

  /** Keeps one, or no longer. */
  async toggle(setting, row, column) {
    const { favourites } = this.tab.studio;
    const { title } = names(setting, row, column);
    const kept = this.#kept(setting, row, column);
    if (kept) {
      favourites.remove(kept);
      this.tab.studio.announce(`${title} is no longer kept`);
      return;
    }
    const key = keyOf(setting, row, column);
    if (this.#soon.has(key)) return;
    this.#soon.add(key);
    this.tab.update();
    try {
      favourites.add(await this.favourite(setting, row, column));
      this.tab.studio.announce(`${title} is kept`);
    } catch (error) {
      if (!isAbort(error)) this.tab.fail(error);
    } finally {
      this.#soon.delete(key);
      this.tab.update();
    }
  }

  /** The mixture as a favourite, with its styles. */
  async favourite(setting, row, column) {
    const { rows, columns, ...fields } = bodyOf(setting, { rows: [row], columns: [column] });
    const json = { ...fields, operation: "mix", latents: [...rows, ...columns] };
    const { data, model_digest } = await this.tab.studio.api.json("v1/latents", { json, signal: this.tab.signal });
    const { title, mixture } = names(setting, row, column);
    return { model: setting.card.name, digest: model_digest, ws: data[0].ws, title, mixture };
  }

  #kept(setting, row, column) {
    const { mixture } = names(setting, row, column);
    const { name, digest } = setting.card;
    return this.tab.studio.favourites.of(name).find((kept) => kept.mixture === mixture && kept.digest === digest);
  }
}

function names(setting, row, column) {
  const layers = layersText(setting.layers, setting.card);
  return { title: `${nameOf(row)} × ${nameOf(column)}, ${layers}`, mixture: crossingKey(setting, row, column) };
}

const keyOf = (setting, row, column) => `${setting.card.digest} ${crossingKey(setting, row, column)}`;
