/** A generator that cannot be asked now: why, what could be asked instead, and when it is back. */

import { empty } from "../../components/notice.js";
import { html } from "../../core/lit.js";

const PAUSE_MS = 3000;

export class Missing {
  #timer = 0;

  /** @param {import("../../core/tab.js").Tab} tab */
  constructor(tab) {
    this.tab = tab;
  }

  /**
   * @param {string} name of the generator that is wanted
   * @param {object[]} cards of those that are there
   * @param {(name: string) => void} choose
   */
  template(name, cards, choose) {
    if (!name) return empty("This server has no generator that can be asked now.");
    const card = this.tab.studio.models.named(name);
    const why = card ? (card.reason ?? "It is being checked.") : "The server may still be loading it.";
    const use = (one) => html`<button type="button" @click=${() => choose(one.name)}>Use ${one.name}</button>`;
    return html`<p class="notice bad" role="alert">
        <span><strong>The generator ${name} cannot be asked now.</strong> ${why} It is shown as soon as it can.</span>
      </p>
      <p class="row">${cards.map(use)}</p>`;
  }

  /** Looks again and again until it is there, since one that is loaded, checked or mended tells nobody. */
  lookAgain(isMissing) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(async () => {
      const { studio, signal } = this.tab;
      await studio.models.load(signal).catch(() => {}); // that it is away is said above
      if (isMissing() && !signal.aborted) this.lookAgain(isMissing);
    }, PAUSE_MS);
  }
}
