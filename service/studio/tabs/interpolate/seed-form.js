/** Where keyframes are typed, or left to chance. */

import { html, nothing } from "../../core/lit.js";
import { randomSeed, recipesOf } from "./seeds.js";

export class SeedForm {
  #typed = "";
  #fault = "";

  /**
   * @param {import("../../core/tab.js").Tab} tab
   * @param {(recipes: object[]) => void} add
   */
  constructor(tab, add) {
    this.tab = tab;
    this.add = add;
  }

  /** @param {{clear: (() => void)|null}} options `clear` removes all keyframes, where there are some */
  template({ clear }) {
    const submitted = (event) => {
      event.preventDefault();
      this.#submit();
    };
    return html`<form class="adding" aria-label="Add keyframes" @submit=${submitted}>
      <label for="seeds">Seeds</label>
      <input id="seeds" type="text" autocomplete="off" spellcheck="false" placeholder="7, 42, 100" .value=${this.#typed}
        aria-invalid=${this.#fault ? "true" : nothing} aria-describedby=${this.#fault ? "seeds-fault" : nothing}
        @input=${(event) => (this.#typed = event.target.value)}>
      <button>Add</button>
      <button type="button" id="random" @click=${() => this.addRandom(1)}>Random</button>
      ${clear ? html`<button type="button" class="quiet" id="clear" @click=${clear}>Clear</button>` : nothing}
      ${this.#fault ? html`<small id="seeds-fault" class="fault" role="alert">${this.#fault}</small>` : nothing}
    </form>`;
  }

  addRandom(count) {
    this.add(Array.from({ length: count }, () => ({ seed: randomSeed() })));
  }

  #submit() {
    try {
      const recipes = recipesOf(this.#typed);
      this.#fault = this.#typed = "";
      this.add(recipes);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#fault = error.message;
    }
    this.tab.update();
  }
}
