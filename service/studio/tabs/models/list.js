/** All models as cards, those that fit what is looked for. */

import { html, nothing, repeat } from "../../core/lit.js";
import { counted } from "../../core/text.js";
import { modelCard } from "./card.js";
import { loadByName } from "./control-buttons.js";

const KINDS = { "": "All", generator: "Generators", translator: "Translators", upscaler: "Upscalers" };

/**
 * @param {object} options
 * @param {object[]} options.all cards
 * @param {string} options.kind "" for all
 * @param {string} options.text what is looked for in names, titles, families and licences
 * @param {(values: {kind?: string, q?: string}) => void} options.filter
 * @param {import("./control.js").Control} options.control
 * @param {(card: object) => object} options.contextOf see `modelCard`
 */
export function list({ all, kind, text, filter, control, contextOf }) {
  const wanted = text.trim().toLowerCase();
  const found = all.filter((card) => wordsOf(card).includes(wanted));
  const shown = found.filter((card) => !kind || card.kind === kind);
  const kinds = Object.entries(KINDS).map(([id, title]) => {
    const count = found.filter((card) => !id || card.kind === id).length;
    return html`<button type="button" data-kind=${id} aria-pressed=${id === kind} @click=${() => filter({ kind: id })}>
      ${title} <span class="count">${count}</span></button>`;
  });
  return html`<div class="row head">
      <h1>Models</h1>
      <div class="row filters" role="search" aria-label="Models">
        <div class="row kinds" role="group" aria-label="Kind">${kinds}</div>
        <input id="search" type="search" placeholder="Name, title, family or licence" aria-label="Search the models"
          .value=${text} @input=${(event) => filter({ q: event.target.value })}>
        ${loadByName(control)}
      </div>
    </div>
    ${control.key && !control.allowed ? html`<p><small id="not-admin">${control.refusal}</small></p>` : nothing}
    <p class="unseen" role="status">${counted(shown.length, "model")}</p>
    ${shown.length ? nothing : html`<p class="empty">${all.length ? NONE_FITS : NONE_THERE}</p>`}
    <div class="model-cards">
      ${repeat(shown, (card) => card.name, (card) => modelCard(card, contextOf(card)))}
    </div>`;
}

const NONE_FITS = "No model is like that.";
const NONE_THERE = "This server has no model ready.";

const wordsOf = ({ name, title, family, licence }) => [name, title, family, licence].join(" ").toLowerCase();
