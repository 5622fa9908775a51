/** The pictures on screen: asked for one by one, and again whenever something else is wanted. */

import { sleep } from "../../core/api.js";
import { keyOf } from "../../core/favourites.js";
import { BlobUrls } from "../../core/files.js";
import { Latest } from "../../core/latest.js";
import { recipeOf } from "./wanted.js";

const AT_A_TIME = 4;

/**
 * One place of the gallery.
 *
 * @typedef {object} Tile
 * @property {number} seed
 * @property {object} recipe of what is wanted there
 * @property {string} digest of the model that is to make it
 * @property {import("../../core/pictures.js").Picture|null} picture what is shown there
 * @property {object|null} made recipe of what is shown; another than `recipe` while that is on its way
 * @property {number} drawn when it arrived
 */

export class Gallery {
  /** @type {Tile[]} */
  tiles = [];
  /** The seed that was looked at last: it comes first. */
  focus = null;
  /** What keeps the pictures from coming, or null. */
  problem = null;
  #urls = new BlobUrls();
  #latest;
  #until = 0; // when the server, being busy, wants to be asked again
  #waits = false; // whether something that runs waits for that

  /**
   * @param {object} options
   * @param {import("../../main.js").Studio} options.studio
   * @param {AbortSignal} options.signal of the tab
   * @param {() => void} options.update draws it
   * @param {(seed: number) => boolean} options.visible whether a tile is on screen
   * @param {(problem: Error) => void} options.failed
   * @param {() => void} options.complete told when all are there
   */
  constructor({ studio, signal, update, visible, failed, complete }) {
    Object.assign(this, { studio, update, visible, complete });
    this.#latest = new Latest(
      (_, ended) => this.#fill(ended),
      (problem) => {
        this.problem = problem;
        failed(problem);
      },
    );
    studio.api.addEventListener("waiting", ({ detail }) => this.#busy(detail.seconds), { signal });
    signal.addEventListener("abort", () => {
      this.#latest.stop();
      this.#urls.clear();
    });
  }

  /** How many are there as they are wanted. */
  get ready() {
    return this.tiles.filter(isReady).length;
  }

  url(picture) {
    return this.#urls.of(picture.blob);
  }

  /**
   * Shows something else: a tile keeps its picture until the new one is there.
   *
   * @param {import("./wanted.js").Wanted} wanted
   * @param {string} digest of its model
   * @param {boolean} [instead] calls off what is on its way; left out while a slider moves, since that lets each
   *   picture that was begun be seen, and nothing is begun that is no longer wanted
   */
  want(wanted, digest, instead = false) {
    const before = new Map(this.tiles.map((tile) => [tile.seed, tile]));
    this.problem = null;
    this.tiles = wanted.seeds.map((seed) => {
      const tile = before.get(seed) ?? { seed, picture: null, made: null, drawn: 0 };
      before.delete(seed);
      return Object.assign(tile, { recipe: recipeOf(wanted, seed), digest });
    });
    for (const { picture } of before.values()) if (picture) this.#urls.drop(picture.blob);
    this.update();
    this.#latest.want(wanted, instead || this.#waits);
  }

  /** The one that is looked at alone, then those on screen, the oldest first, then the others; until all are there. */
  async #fill(signal) {
    this.#waits = false;
    const left = this.#until - performance.now();
    if (left > 0) await sleep(left / 1000, signal);
    const line = this.#line();
    if (line.length) {
      await this.#draw(line.shift(), signal, true);
      if (!this.#latest.outdated) await painted(); // before the others take up the processor
    }
    const drawer = async () => {
      while (line.length && !this.#latest.outdated) await this.#draw(line.shift(), signal, false);
    };
    const drawers = Array.from({ length: AT_A_TIME }, () => drawer().finally(() => (line.length = 0)));
    const failed = (await Promise.allSettled(drawers)).find(({ status }) => status === "rejected");
    if (failed) throw failed.reason;
    if (!this.#latest.outdated) this.complete();
  }

  /** A call would be sent again later: not if something else is wanted by then, which waits in its place. */
  #busy(seconds) {
    this.#until = performance.now() + 1000 * seconds;
    this.#waits = true;
    if (this.#latest.outdated) this.#latest.want(null, true);
  }

  #line() {
    const places = this.tiles.filter((tile) => !isReady(tile)).map((tile) => ({ tile, rank: this.#rank(tile) }));
    return places.sort((one, other) => one.rank - other.rank || one.tile.drawn - other.tile.drawn).map(({ tile }) => tile);
  }

  #rank(tile) {
    if (!this.visible(tile.seed)) return 2;
    return tile.seed === (this.focus ?? this.tiles[0].seed) ? 0 : 1;
  }

  async #draw(tile, signal, atOnce) {
    const { recipe, digest } = tile;
    const picture = await this.studio.pictures.of(recipe, { signal, digest, atOnce });
    if (tile.picture && tile.picture !== picture) this.#urls.drop(tile.picture.blob);
    Object.assign(tile, { picture, made: recipe, drawn: performance.now() });
    this.update();
  }
}

/** Whether a tile shows what is wanted there. */
export function isReady({ recipe, digest, picture, made }) {
  return picture !== null && picture.digest === digest && (made === recipe || keyOf(made) === keyOf(recipe));
}

/** Resolves once what was drawn is seen; soon as well in a page that is hidden, which draws no frames. */
function painted() {
  return new Promise((resolve) => {
    setTimeout(resolve, 100);
    requestAnimationFrame(() => requestAnimationFrame(resolve));
  });
}
