/** Small pictures of what lies at the ends of each slider: what a direction does, before it is tried. */

import { BlobUrls } from "../../core/files.js";
import { Latest } from "../../core/latest.js";
import { paramsOf, unedited } from "./recipe.js";

const LARGEST = 256; // pixels of a side: two pictures a direction are too much work beyond
const PATIENCE_SECONDS = 0.25;

export class Ends {
  #urls = new BlobUrls();
  #pictures = new Map(); // "name amount" -> Blob
  #of = "";
  #timer = 0;
  // What cannot be drawn is no trouble here: the picture itself says so, and ends stay empty.
  #work = new Latest((wanted, signal) => this.#draw(wanted, signal), () => {});

  /**
   * @param {import("../../core/tab.js").Tab} tab
   * @param {import("./vectors.js").Vectors} vectors
   */
  constructor(tab, vectors) {
    this.tab = tab;
    this.vectors = vectors;
    tab.signal.addEventListener("abort", () => this.#stop());
  }

  /** Whether a generator is small enough for them. */
  shown(card) {
    return card.resolution <= LARGEST;
  }

  /** The picture at an end; null while it is not there. */
  url(name, amount) {
    const blob = this.#pictures.get(`${name} ${amount}`);
    return blob ? this.#urls.of(blob) : null;
  }

  /** Draws those of a picture once nothing else is wanted for a moment. */
  want(recipe, range, card) {
    const of = JSON.stringify([card.digest, range, paramsOf(unedited(recipe))]);
    if (of === this.#of || !this.shown(card)) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#work.want({ recipe, range, card, of }, true), 1000 * PATIENCE_SECONDS);
  }

  async #draw({ recipe, range, card, of }, signal) {
    const ends = card.directions.flatMap(({ name }) => [[name, -range], [name, range]]);
    const drawn = await Promise.all(
      ends.map(async ([name, amount]) => {
        const drawable = await this.vectors.drawable({ ...recipe, edits: { [name]: amount } }, card, signal);
        const { blob } = await this.tab.studio.pictures.of(drawable, { signal, digest: card.digest });
        return [`${name} ${amount}`, blob];
      }),
    );
    this.#urls.clear();
    this.#pictures = new Map(drawn);
    this.#of = of;
    this.tab.update();
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#work.stop();
    this.#urls.clear();
  }
}
