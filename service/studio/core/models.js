/** The models that are served now, as `GET /v1/models` has them. */

/** Events: `change`. */
export class Models extends EventTarget {
  #cards = [];
  #loading = null;

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
   * Asks for them anew.
   *
   * @param {AbortSignal} [signal]
   * @throws {import("./problem.js").Problem}
   */
  async load(signal) {
    this.#loading ??= this.api.json("v1/models", { signal }).finally(() => (this.#loading = null));
    const { data } = await this.#loading;
    const before = JSON.stringify(this.#cards);
    this.#cards = data;
    if (JSON.stringify(data) !== before) this.dispatchEvent(new Event("change"));
    return data;
  }

  /** The cards, asked for if they are not here yet. */
  async ready(signal) {
    return this.#cards.length ? this.#cards : this.load(signal);
  }
}
