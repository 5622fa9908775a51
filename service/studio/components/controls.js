/** Controls with their labels, all alike. */

import { html, live, nothing } from "../core/lit.js";

let last = 0;
/** An id that no other element has. */
export const freshId = (name) => `${name}-${++last}`;

/**
 * A slider with its number beside it; `change` is told while it moves.
 *
 * @param {object} options
 * @param {string} options.id of the input; labels need it, and tests find it
 * @param {string} options.label
 * @param {number} options.value
 * @param {number} options.min
 * @param {number} options.max
 * @param {number} options.step
 * @param {(value: number) => void} options.change
 * @param {string} [options.hint]
 */
export function slider({ id, label, value, min, max, step, change, hint }) {
  const moved = (event) => {
    const given = event.target.valueAsNumber;
    if (Number.isFinite(given)) change(Math.min(max, Math.max(min, given)));
  };
  // Not `live`, which would take away what is being typed whenever anything else is drawn.
  const typed = (event) => {
    const given = event.target.valueAsNumber;
    event.target.value = String(Number.isFinite(given) ? Math.min(max, Math.max(min, given)) : value);
    moved(event);
  };
  return html`<div class="field slider">
    <label for=${id}>${label}</label>
    <input id=${id} type="range" min=${min} max=${max} step=${step} .value=${live(String(value))} @input=${moved}
      aria-describedby=${hint ? `${id}-hint` : nothing}>
    <input type="number" min=${min} max=${max} step=${step} .value=${String(value)} @change=${typed}
      aria-label=${`${label}, as a number`}>
    ${hint ? html`<small id=${`${id}-hint`}>${hint}</small>` : nothing}
  </div>`;
}

/**
 * A choice among few or many.
 *
 * @param {object} options
 * @param {string} options.id
 * @param {string} options.label
 * @param {string} options.value
 * @param {{value: string, text: string}[]} options.choices
 * @param {(value: string) => void} options.change
 */
export function choice({ id, label, value, choices, change }) {
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <select id=${id} .value=${live(value)} @change=${(event) => change(event.target.value)}>
      ${choices.map((one) => html`<option value=${one.value} ?selected=${one.value === value}>${one.text}</option>`)}
    </select>
  </div>`;
}

/** A choice of a model of one kind, by its card's title. */
export function modelChoice({ id, label = "Model", models, value, change }) {
  const choices = models.map((card) => ({ value: card.name, text: card.title ? `${card.name} — ${card.title}` : card.name }));
  return choice({ id, label, value, choices, change });
}

/** A number that is typed, told when it is done. */
export function numberField({ id, label, value, min, max, step = 1, change }) {
  const changed = (event) => {
    const given = event.target.valueAsNumber;
    if (Number.isFinite(given) && given >= min && given <= max) change(given);
    else event.target.value = String(value);
  };
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <input id=${id} type="number" min=${min} max=${max} step=${step} .value=${String(value)} @change=${changed}>
  </div>`;
}

/** Work that has a length: a bar with words, which a screen reader hears of. */
export function progress({ label, value, max }) {
  return html`<div class="progress"><progress aria-label=${label} .value=${value} max=${max}></progress>
    <span>${label}</span></div>`;
}

/** Work whose length nobody knows, and how to end it. */
export function working(label, cancel) {
  return html`<div class="progress"><progress aria-label=${label}></progress><span>${label}</span>
    ${cancel ? html`<button type="button" class="quiet" @click=${cancel}>Cancel</button>` : nothing}</div>`;
}
