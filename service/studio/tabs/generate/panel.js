/** What can be set in Generate. */

import { choice, modelChoice, numberField, slider } from "../../components/controls.js";
import { html, nothing } from "../../core/lit.js";
import { MAX_SEED, labelsOf, transforms } from "../../core/generator.js";
import { writeSeeds } from "../../core/seeds.js";

/**
 * @param {object} options
 * @param {import("./wanted.js").Wanted} options.wanted
 * @param {object} options.card of its model
 * @param {object[]} options.cards to choose from
 * @param {string} options.fault what is wrong with the seeds that were typed, or ""
 * @param {boolean} options.all whether rarer settings are shown at first
 * @param {(values: object) => void} options.move changes something of `wanted` while it moves
 * @param {object} options.on `model(name)`, `seeds(text)`, `random()`, `page(direction)`
 */
export function panel({ wanted, card, cards, fault, all, move, on }) {
  return html`<form class="controls" aria-label="What to generate" @submit=${(event) => event.preventDefault()}>
    ${modelChoice({ id: "model", models: cards, value: wanted.model, change: on.model })}
    ${labelsOf(card).length
      ? choice({ id: "label", label: "Class", value: wanted.label, choices: labelsOf(card), change: (label) => move({ label }) })
      : nothing}
    ${seeds(wanted, fault, on)} ${truncation(wanted, move)}
    <details class="more" ?open=${all}>
      <summary>More settings</summary>
      <div class="stack">${cutoff(wanted, card, move)} ${noise(wanted, move)} ${moved(wanted, card, move)}</div>
    </details>
  </form>`;
}

function seeds(wanted, fault, on) {
  return html`<div class="field">
    <label for="seeds">Seeds</label>
    <input id="seeds" type="text" autocomplete="off" spellcheck="false" inputmode="text" .value=${writeSeeds(wanted.seeds)}
      @change=${(event) => on.seeds(event.target.value)} @keydown=${(event) => entered(event, on)}
      aria-invalid=${fault ? "true" : nothing} aria-describedby="seeds-hint">
    <small id="seeds-hint" role=${fault ? "alert" : nothing} class=${fault ? "fault" : ""}>${fault || "Numbers and ranges, as 0-11, 42. A seed is a picture."}</small>
    <div class="row pages">
      <button type="button" @click=${() => on.page(-1)} ?disabled=${Math.min(...wanted.seeds) === 0}>‹ Previous</button>
      <button type="button" id="random" @click=${on.random}>Random</button>
      <button type="button" id="next" @click=${() => on.page(1)} ?disabled=${Math.max(...wanted.seeds) === MAX_SEED}>Next ›</button>
    </div>
  </div>`;
}

function entered(event, on) {
  if (event.key === "Enter") on.seeds(event.target.value);
}

function truncation({ truncation: value }, move) {
  return slider({
    id: "truncation",
    label: "Truncation ψ",
    value,
    // Beyond these little is a picture; a URL may ask for more all the same.
    min: Math.min(-1, value),
    max: Math.max(1.5, value),
    step: 0.05,
    change: (truncation) => move({ truncation }),
    hint: "0 is the average picture; 1 leaves the model as trained.",
  });
}

function cutoff({ truncation_cutoff: value }, { num_ws: layers }, move) {
  if (!(layers > 1)) return nothing;
  return slider({
    id: "cutoff",
    label: "Layers truncated",
    value: value ?? layers,
    min: 0,
    max: layers,
    step: 1,
    change: (count) => move({ truncation_cutoff: count >= layers ? null : Math.round(count) }),
    hint: `Of ${layers}, the coarsest first.`,
  });
}

function noise({ noise: value }, move) {
  const kind = typeof value === "number" ? "seed" : value;
  const choices = [
    { value: "const", text: "As trained" },
    { value: "none", text: "None" },
    { value: "seed", text: "By seed" },
  ];
  const chosen = (name) => move({ noise: name === "seed" ? 0 : name });
  return html`<div class="pair">
    ${choice({ id: "noise", label: "Noise", value: kind, choices, change: chosen })}
    ${kind === "seed"
      ? numberField({ id: "noise-seed", label: "Noise seed", value, min: 0, max: MAX_SEED, change: (seed) => move({ noise: Math.round(seed) }) })
      : nothing}
  </div>`;
}

function moved({ rotation, translation }, card, move) {
  const [x, y] = translation;
  const side = (id, label, value, to) =>
    slider({ id, label, value, min: Math.min(-1, value), max: Math.max(1, value), step: 0.01, change: to });
  return html`${transforms(card, "rotation")
    ? slider({ id: "rotation", label: "Turned by, in degrees", value: rotation, min: Math.min(-180, rotation), max: Math.max(180, rotation), step: 1, change: (degrees) => move({ rotation: degrees }) })
    : nothing}
  ${transforms(card, "translation")
    ? html`${side("to-right", "Moved right", x, (to) => move({ translation: [to, y] }))}
      ${side("down", "Moved down", y, (to) => move({ translation: [x, to] }))}`
    : nothing}`;
}
