/** The pictures of the keyframes, which follow what is changed of them. */

import { keyOf } from "../../core/favourites.js";
import { BlobUrls } from "../../core/files.js";
import { Latest } from "../../core/latest.js";

export class Thumbnails {
  #all = new Map(); // id of a keyframe -> {key, latest, picture, problem}
  #urls = new BlobUrls();

  /** @param {import("../../core/tab.js").Tab} tab */
  constructor(tab) {
    this.tab = tab;
    tab.signal.addEventListener("abort", () => this.want([], null));
  }

  /**
   * @param {import("./path.js").Keyframe[]} keyframes
   * @param {{noise: string|number, digest: string}} path
   * @param {boolean} [again] those as well that have failed
   */
  want(keyframes, path, again = false) {
    const there = new Set(keyframes.map(({ id }) => id));
    for (const [id, one] of this.#all) if (!there.has(id)) this.#drop(id, one);
    for (const { id, recipe } of keyframes) {
      const wanted = { ...recipe, noise: path.noise };
      const key = `${path.digest} ${keyOf(wanted)}`;
      const one = this.#all.get(id) ?? this.#add(id);
      if (one.key === key && !(again && one.problem)) continue;
      Object.assign(one, { key, problem: null });
      one.latest.want({ recipe: wanted, digest: path.digest });
    }
  }

  /** @returns {{url?: string, problem?: import("../../core/problem.js").Problem}} */
  of(id) {
    const one = this.#all.get(id);
    return { url: one?.picture ? this.#urls.of(one.picture.blob) : undefined, problem: one?.problem ?? undefined };
  }

  #add(id) {
    const one = { key: "", picture: null, problem: null };
    one.latest = new Latest(
      async ({ recipe, digest }, signal) => {
        this.#show(one, await this.tab.studio.pictures.of(recipe, { signal, digest }));
      },
      (problem) => {
        one.problem = problem;
        this.tab.update();
      },
    );
    this.#all.set(id, one);
    return one;
  }

  #show(one, picture) {
    const before = one.picture;
    one.picture = picture;
    this.#giveBack(before);
    this.tab.update();
  }

  #drop(id, one) {
    one.latest.stop();
    this.#all.delete(id);
    this.#giveBack(one.picture);
  }

  /** Two keyframes may show the same. */
  #giveBack(picture) {
    if (picture && ![...this.#all.values()].some((one) => one.picture === picture)) this.#urls.drop(picture.blob);
  }
}
