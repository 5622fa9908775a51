/** A slider for each direction of a generator, with what lies at its ends. */

import { classMap, html, live, nothing } from "../../core/lit.js";
import { number } from "../../core/text.js";

export const RANGES = [3, 6, 12];
const STEP = 0.1;
const FARTHEST = 100; // the API takes no more

/**
 * @param {object} options
 * @param {object} options.card of the generator
 * @param {Record<string, number>} options.edits amounts by name
 * @param {number} options.range how far the sliders go
 * @param {(name: string, amount: number) => (string|null)|null} options.end URL of the picture there, if they are shown
 * @param {(name: string, amount: number) => void} options.change
 */
export function directions({ card, edits, range, end, change }) {
  const unit = card.directions[0]?.unit;
  return html`<ul class="directions">
      ${card.directions.map((one, at) => direction({ one, at, amount: edits[one.name] ?? 0, range, end, change }))}
    </ul>
    <small>0 leaves the picture as it is.${unit ? ` In ${unit}.` : ""} The percentage is a direction's share of all
      change of styles.</small>`;
}

function direction({ one, at, amount, range, end, change }) {
  const { name, explained } = one;
  const id = `direction-${at}`;
  const farthest = Math.max(range, Math.abs(amount));
  const typed = (event) => {
    const given = event.target.valueAsNumber;
    const wanted = Number.isFinite(given) ? Math.min(FARTHEST, Math.max(-FARTHEST, given)) : amount;
    event.target.value = String(wanted); // not `live`, which takes away what is typed while pictures arrive
    change(name, wanted);
  };
  const edge = (to) => {
    if (!end) return nothing;
    const url = end(name, to);
    return html`<button type="button" class="end" aria-label=${`${name} to ${number(to)}`}
      title=${`${name} ${number(to)}`} @click=${() => change(name, to)}>${url ? html`<img class="pixels" src=${url} alt="">` : nothing}</button>`;
  };
  return html`<li class=${classMap({ direction: true, moved: amount !== 0 })} data-direction=${name}>
    <label for=${id}>${name}</label>
    <small>${explained ? `${number(Math.round(1000 * explained) / 10)} % of change` : nothing}</small>
    <button type="button" class="quiet reset" aria-label=${`Reset ${name}`} title="Reset" ?disabled=${amount === 0}
      @click=${() => change(name, 0)}>↺</button>
    <div class="line">
      ${edge(-range)}
      <input id=${id} type="range" min=${-farthest} max=${farthest} step=${STEP} .value=${live(String(amount))}
        .style=${`--from: ${percent(Math.min(0, amount), farthest)}; --to: ${percent(Math.max(0, amount), farthest)}`}
        @input=${(event) => change(name, event.target.valueAsNumber)} @dblclick=${() => change(name, 0)}>
      ${edge(range)}
      <input type="number" min=${-FARTHEST} max=${FARTHEST} step=${STEP} .value=${String(amount)} @change=${typed}
        aria-label=${`${name}, as a number`}>
    </div>
  </li>`;
}

const percent = (amount, farthest) => `${50 + (50 * amount) / farthest}%`;

/** What is said of a generator that has none. */
export function noDirections(card, others, open) {
  const can = ["stylegan2", "stylegan3"].includes(card.family);
  return html`<div class="empty no-directions">
    <p><strong>${card.name} has no directions to edit along.</strong></p>
    <p>${can
      ? html`They are found in the weights of StyleGAN2 and StyleGAN3 when a model is exported: export it anew with
          <code>gantrain export</code>.`
      : html`They are found in the weights of StyleGAN2 and StyleGAN3 generators, by <code>gantrain export</code> and
          <code>gantrain import</code>; this one is of another family${card.family ? ` (${card.family})` : ""}.`}</p>
    ${others.length
      ? html`<p class="row">
          ${others.map(({ name }) => html`<button type="button" @click=${() => open(name)}>Edit with ${name}</button>`)}
        </p>`
      : nothing}
  </div>`;
}
