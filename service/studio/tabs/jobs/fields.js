/** Fields of the form whose values are settings of the new job. */

import { html, live } from "../../core/lit.js";

/** Something that is or is not wanted. */
export function check({ values, set }, name, text) {
  return html`<label class="check"
    ><input
      id=${name}
      type="checkbox"
      .checked=${live(Boolean(values[name]))}
      @change=${(event) => set(name, event.target.checked ? "1" : "")}
    />
    ${text}</label
  >`;
}

/** A line of text, told when it is done. */
export function textField({ values, set }, name, label, hint, value = values[name] ?? "", type = "text") {
  return html`<div class="field">
    <label for=${name}>${label}</label>
    <input
      id=${name}
      type=${type}
      .value=${live(value ?? "")}
      aria-describedby=${`${name}-hint`}
      spellcheck="false"
      autocomplete="off"
      @change=${(event) => set(name, event.target.value.trim())}
    />
    <small id=${`${name}-hint`}>${hint}</small>
  </div>`;
}
