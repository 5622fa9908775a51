/** Loading and unloading models, for keys that may. */

import { Problem, isAbort } from "../../core/problem.js";

const PLACE = "ganserve.unloaded";
const LIMIT_SECONDS = 180; // calls in flight end before a model goes, and large ones take long to load

export class Control {
  /** What is being done, by the name of the model: "load" or "unload". */
  busy = new Map();
  /** The model of which it is asked whether it is really to go. */
  asking = null;
  /** What the key may do, as `GET /v1/key` has it; null until it is known. */
  key = null;
  #unloaded = remembered();

  /** @param {import("../../core/tab.js").Tab} tab */
  constructor(tab) {
    this.tab = tab;
    this.studio = tab.studio;
  }

  get allowed() {
    return this.key?.scopes.includes("admin") ?? false;
  }

  /** Why it is not allowed, in words. */
  get refusal() {
    if (this.key === null) return "It is not known yet what this key may do.";
    const scopes = this.key.scopes.join(", ");
    return `Loading and unloading needs a key with the scope admin; this one, “${this.key.name}”, has: ${scopes}.`;
  }

  async learn() {
    this.key = await this.studio.api.json("v1/key", { signal: this.tab.signal });
    this.tab.update();
  }

  /** Cards of models that this browser has seen go, and that are not back. */
  get unloaded() {
    return [...this.#unloaded.values()].filter(({ name }) => !this.studio.models.named(name));
  }

  /** Loads a model, or what is new of it; resolves when it takes traffic. */
  load(name) {
    return this.#change(name, "load", (card) => {
      this.#unloaded.delete(name);
      this.studio.announce(`${name} is loaded: version ${card.version}`);
    });
  }

  unload(name) {
    const card = this.studio.models.named(name);
    this.asking = null;
    return this.#change(name, "unload", () => {
      if (card) this.#unloaded.set(name, { ...card, state: "UNLOADED" });
      this.studio.announce(`${name} is unloaded`);
    });
  }

  async #change(name, verb, done) {
    if (this.busy.has(name)) return;
    this.busy.set(name, verb);
    this.tab.clearProblem();
    this.tab.update();
    try {
      const path = `v1/models/${encodeURIComponent(name)}/${verb}`;
      const options = { method: "POST", limit: LIMIT_SECONDS, signal: this.tab.signal };
      done(await this.studio.api.json(path, options));
      remember(this.#unloaded);
    } catch (error) {
      if (!isAbort(error)) this.tab.fail(error instanceof Problem ? error : Problem.unreachable());
    } finally {
      this.busy.delete(name);
      // Whatever came of it, the list says what there is now.
      await this.studio.models.reload().catch(() => {});
      this.tab.update();
    }
  }
}

function remembered() {
  try {
    const cards = JSON.parse(sessionStorage.getItem(PLACE) ?? "[]");
    return new Map(cards.map((card) => [card.name, card]));
  } catch {
    return new Map();
  }
}

function remember(cards) {
  try {
    sessionStorage.setItem(PLACE, JSON.stringify([...cards.values()]));
  } catch {
    // They are remembered until the tab is left.
  }
}
