/** A model among others. */

import { html, nothing } from "../../core/lit.js";
import { headlineOf } from "./metrics.js";
import { badges, datasetName, licence, pageOf, seenBriefly, sheetOf, time, useOf } from "./parts.js";
import { median } from "./speed.js";

/**
 * @param {object} card as the API has it; `state` is UNLOADED for one that is gone
 * @param {object} context
 * @param {import("./samples.js").Sheet} context.sheet
 * @param {(blob: Blob) => string} context.url
 * @param {() => void} context.again draws its pictures again
 * @param {import("./speed.js").Seen|null} context.seen
 * @param {import("./speed.js").Timed[]|null} context.timed
 * @param {unknown} context.watch a directive that tells when it comes into view
 * @param {unknown} context.control buttons of load and unload, or nothing
 */
export function modelCard(card, { sheet, url, again, seen, timed, watch, control }) {
  const figure = headlineOf(card);
  const use = useOf(card);
  return html`<article class="card model" id=${`model-${card.name}`} data-model=${card.name} ${watch}>
    ${sheetOf(card, sheet, url, again)}
    <div>
      <h2><a href=${pageOf(card.name)}>${card.title ?? card.name}</a></h2>
      <code>${card.name}</code>
    </div>
    ${badges(card)}
    <dl class="facts">
      <dt>Licence</dt><dd>${licence(card)}</dd>
      <dt>Data</dt><dd>${datasetName(card)}</dd>
      ${figure ? headline(figure) : nothing}
      <dt>Speed here</dt><dd>${speedText(card, seen, timed)}</dd>
    </dl>
    <p class="row actions">
      ${card.state === "READY"
        ? html`<a class="button" href=${use.href} aria-label=${`${use.text}: ${card.name}`}>${use.text}</a>`
        : nothing}
      ${control}
    </p>
  </article>`;
}

function headline({ name, text, better }) {
  return html`<dt>${name}</dt><dd>${text} ${better ? html`<small>${better} is better</small>` : nothing}</dd>`;
}

/** What was measured, and nothing if nothing was. */
function speedText(card, seen, timed) {
  if (timed) return `${time(median(timed[0].seconds))} a picture, timed from here`;
  const measure = html`<a href=${pageOf(card.name)} aria-label=${`measure ${card.name}`}>measure</a>`;
  return seenBriefly(seen, card.name) ?? html`<small>not measured yet: ${measure}</small>`;
}
