/** What keyframes look like: all of them, or the one that is chosen. */

import { choice, slider } from "../../components/controls.js";
import { html, nothing } from "../../core/lit.js";
import { labelFor, labelsOf, transforms } from "../../core/generator.js";
import { titleOf } from "./timeline.js";

/**
 * @param {object} options
 * @param {import("./path.js").Path} options.path
 * @param {import("./path.js").Keyframe|null} options.chosen null for all
 * @param {object} options.shown fields of a recipe: the chosen one's, or those that new keyframes get
 * @param {object} options.card of the model
 * @param {object} options.on `change(values)`, `all()`, `copy()`, `useForAll()`
 */
export function keyframePanel({ path, chosen, shown, card, on }) {
  const place = chosen ? path.keyframes.indexOf(chosen) + 1 : 0;
  return html`<form class="card keyframe-panel" aria-label="Keyframes" @submit=${(event) => event.preventDefault()}>
    <h2>${chosen ? `Keyframe ${place}: ${titleOf(chosen)}` : "All keyframes"}</h2>
    ${chosen?.recipe.ws
      ? html`<p><small>Made of styles: truncation, class and edits have gone into them.</small></p>`
      : styling({ path, chosen, shown, card, on })}
    ${moving({ shown, card, on })}
    ${chosen
      ? html`<p class="row">
          <button type="button" id="all-keyframes" @click=${on.all}>Done</button>
          <button type="button" class="quiet" id="copy-keyframe" @click=${on.copy}>Duplicate</button>
          ${chosen.recipe.ws
            ? nothing
            : html`<button type="button" class="quiet" id="use-for-all" @click=${on.useForAll}>Use for all</button>`}
        </p>`
      : html`<p><small>Choose a keyframe's picture to change that one alone.</small></p>`}
  </form>`;
}

function styling({ path, chosen, shown, card, on }) {
  const { truncation = 1, truncation_cutoff: cutoff, edits = {} } = shown;
  const layers = card.num_ws ?? 1;
  const choices = labelsOf(card);
  const label = labelFor(card, shown.label);
  return html`${choices.length
      ? choice({ id: "label", label: "Class", value: label, choices, change: (name) => on.change({ label: name }) })
      : nothing}
    ${slider({
      id: "truncation",
      label: "Truncation ψ",
      value: truncation,
      min: Math.min(-1, truncation),
      max: Math.max(1.5, truncation),
      step: 0.05,
      change: (value) => on.change({ truncation: value }),
      hint: differ(path, chosen, "truncation", 1) ? "They differ: moving this makes them alike." : undefined,
    })}
    <details class="more" ?open=${Number.isInteger(cutoff)}>
      <summary>Edits and layers</summary>
      <div class="stack">
        ${(card.directions ?? []).map(({ name }) => edit(name, edits, on))}
        ${layers > 1
          ? slider({
              id: "cutoff",
              label: "Layers truncated",
              value: cutoff ?? layers,
              min: 0,
              max: layers,
              step: 1,
              change: (count) => on.change({ truncation_cutoff: count >= layers ? undefined : Math.round(count) }),
            })
          : nothing}
      </div>
    </details>`;
}

function edit(name, edits, on) {
  const value = edits[name] ?? 0;
  return slider({
    id: `edit-${name}`,
    label: name,
    value,
    min: Math.min(-5, value),
    max: Math.max(5, value),
    step: 0.25,
    change: (amount) => on.change({ edits: { ...edits, [name]: amount } }),
  });
}

function moving({ shown, card, on }) {
  const { rotation = 0, translation: [x, y] = [0, 0] } = shown;
  const side = (id, label, value, to) =>
    slider({
      id,
      label,
      value,
      min: Math.min(-1, value),
      max: Math.max(1, value),
      step: 0.01,
      change: (part) => on.change({ translation: to(part) }),
    });
  return html`${transforms(card, "rotation")
    ? slider({
        id: "rotation",
        label: "Turned by, in degrees",
        value: rotation,
        min: Math.min(-360, rotation),
        max: Math.max(360, rotation),
        step: 1,
        change: (degrees) => on.change({ rotation: degrees }),
      })
    : nothing}
  ${transforms(card, "translation")
    ? html`${side("to-right", "Moved right", x, (part) => [part, y])}
        ${side("down", "Moved down", y, (part) => [x, part])}`
    : nothing}`;
}

function differ({ keyframes }, chosen, name, otherwise) {
  const own = keyframes.filter(({ recipe }) => !recipe.ws).map(({ recipe }) => recipe[name] ?? otherwise);
  return !chosen && new Set(own).size > 1;
}
