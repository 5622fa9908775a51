/** Where an API key is entered. It goes to memory and nowhere else. */

import { html, nothing, render } from "../core/lit.js";

/**
 * Asks for a key.
 *
 * @param {object} options
 * @param {import("../core/problem.js").Problem} [options.problem] why, if the server asks
 * @param {boolean} [options.known] whether there is one, which can be forgotten
 * @returns {Promise<string|null>} the key; "" to forget it; null if the dialog is closed
 */
export function askForKey({ problem, known = false } = {}) {
  const dialog = document.getElementById("key-dialog");
  return new Promise((resolve) => {
    let answer = null;
    const submit = (event) => {
      event.preventDefault();
      const key = event.target.elements.key.value.trim();
      if (!key) return;
      answer = key;
      dialog.close();
    };
    const forget = () => {
      answer = "";
      dialog.close();
    };
    render(
      html`<form @submit=${submit}>
        <h2 id="key-title">API key</h2>
        ${problem ? html`<p class="notice bad" role="alert">${problem.detail || problem.title}</p>` : nothing}
        <p>This page keeps it in memory only: closing or reloading the page forgets it.</p>
        <div class="field">
          <label for="key">Key, as <code>gsk_…</code></label>
          <input id="key" name="key" type="password" autocomplete="off" spellcheck="false" required>
        </div>
        <p class="row">
          <button class="primary">Use this key</button>
          ${known ? html`<button type="button" @click=${forget}>Forget the key</button>` : nothing}
          <button type="button" class="quiet" @click=${() => dialog.close()}>Close</button>
        </p>
      </form>`,
      dialog,
    );
    dialog.onclose = () => {
      render(nothing, dialog); // and with it what was typed
      resolve(answer);
    };
    dialog.showModal();
  });
}
