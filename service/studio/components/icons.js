/** Symbols drawn here, since a font that has them is not on every machine; they are named by what holds them. */

import { html, svg } from "../core/lit.js";

const SHAPES = {
  key: svg`<circle cx="8" cy="16" r="4.5"/><path d="M11.5 12.5 20 4m-4 4 3 3m-6 0 2 2"/>`,
  "key-entered": svg`<circle cx="8" cy="16" r="4.5" fill="currentColor"/><path d="M11.5 12.5 20 4m-4 4 3 3m-6 0 2 2"/>`,
  auto: svg`<circle cx="12" cy="12" r="8"/><path d="M12 4a8 8 0 0 1 0 16z" fill="currentColor"/>`,
  light: svg`<circle cx="12" cy="12" r="4"/><path
    d="M12 2.5v3m0 13v3M2.5 12h3m13 0h3M5.3 5.3l2.1 2.1m9.2 9.2 2.1 2.1m0-13.4-2.1 2.1m-9.2 9.2-2.1 2.1"/>`,
  save: svg`<path d="M12 4v11m-4.5-4.5L12 15l4.5-4.5M5 20h14"/>`,
  enlarge: svg`<path d="M4 9V4h5m6 0h5v5m0 6v5h-5m-6 0H4v-5"/>`,
  dark: svg`<path d="M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z"/>`,
};

/** @param {"key"|"key-entered"|"auto"|"light"|"dark"|"save"|"enlarge"} name */
export const icon = (name) =>
  html`<svg class="icon" viewBox="0 0 24 24" width="22" height="22" aria-hidden="true">${SHAPES[name]}</svg>`;
