/** A question before what cannot be taken back. */

import { html, nothing, render } from "../core/lit.js";

/**
 * Asks; Escape means no.
 *
 * @param {object} options
 * @param {string} options.title the question
 * @param {string} [options.text] what would happen
 * @param {string} options.yes what the button that does it says
 * @param {string} [options.no]
 * @returns {Promise<boolean>}
 */
export function confirm({ title, text, yes, no = "Not now" }) {
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "confirm-title");
  document.body.append(dialog);
  return new Promise((resolve) => {
    render(
      html`<div class="confirm">
        <h2 id="confirm-title">${title}</h2>
        ${text ? html`<p>${text}</p>` : nothing}
        <p class="row">
          <button type="button" class="primary" @click=${() => dialog.close("yes")}>${yes}</button>
          <button type="button" @click=${() => dialog.close("no")}>${no}</button>
        </p>
      </div>`,
      dialog,
    );
    dialog.onclose = () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    };
    dialog.showModal();
  });
}
