/** The models that are served now, as `GET /v1/models` has them. */

import { unlessAborted } from "./api.js";

/** A model that is being checked takes traffic in a moment, and nothing else would say so. */
const PAUSE_SECONDS = 2;

/** Events: `change`. */
export class Models extends EventTarget {
  #cards = [];
  #loading = null;
  #timer = 0;

  /** @param {import("./api.js").Api} api */
  constructor(api) {
    super();
    this.api = api;
  }

  /** All cards, in the server's order. */
  get all() {
    return this.#cards;
  }

  /** The cards of a kind: `generator`, `translator` or `upscaler`; those that can be asked only. */
  ofKind(kind) {
    return this.#cards.filter((card) => card.kind === kind && card.state === "READY");
  }

  /** A card by name, or undefined. */
  named(name) {
    return this.#cards.find((card) => card.name === name);
  }

  /**
   * Asks for them; who asks while somebody else does gets the same answer. The call is of the page, not of a tab:
   * leaving a tab ends its waiting, and not that of the next one.
   *
   * @param {AbortSignal} [signal]
   * @throws {import("./problem.js").Problem}
   */
  async load(signal) {
    if (this.#loading === null) {
      this.#loading = this.#ask().finally(() => (this.#loading = null));
      this.#loading.catch(() => {}); // perhaps nobody waits for it by then
    }
    return unlessAborted(this.#loading, signal);
  }

  /** Asks for them as they are from now on, after something has changed. */
  async reload(signal) {
    await this.#loading?.catch(() => {});
    return this.load(signal);
  }

  async #ask() {
    const { data } = await this.api.json("v1/models");
    const before = JSON.stringify(this.#cards);
    this.#cards = data;
    if (JSON.stringify(data) !== before) this.dispatchEvent(new Event("change"));
    clearTimeout(this.#timer);
    if (data.some(({ state }) => state === "CHECKING")) {
      this.#timer = setTimeout(() => this.load().catch(() => {}), PAUSE_SECONDS * 1000);
    }
    return data;
  }

  /** The cards, asked for if they are not here yet. */
  async ready(signal) {
    return this.#cards.length ? this.#cards : this.load(signal);
  }
}
