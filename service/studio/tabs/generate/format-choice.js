/** In which format files are saved: without loss but for JPEG. */

import { html } from "../../core/lit.js";

const FORMATS = { png: "PNG", webp: "WebP", jpeg: "JPEG" };

/**
 * @param {string} id
 * @param {{value: string}} format is changed
 * @param {() => void} changed
 */
export function formatChoice(id, format, changed) {
  const chosen = (event) => {
    format.value = event.target.value;
    changed();
  };
  return html`<select id=${id} aria-label="Format of files" .value=${format.value} @change=${chosen}>
    ${Object.entries(FORMATS).map(([value, text]) => html`<option value=${value} ?selected=${value === format.value}>${text}</option>`)}
  </select>`;
}
