/** One picture of the gallery. */

import { classMap, html, nothing, svg } from "../../core/lit.js";
import { describe } from "../../core/generator.js";
import { isReady } from "./gallery.js";

const HEART = svg`<path d="M12 20.5 4.2 12.9a5 5 0 0 1 7.1-7.1l.7.8.7-.8a5 5 0 0 1 7.1 7.1z"/>`;

/**
 * @param {import("./gallery.js").Tile} tile
 * @param {object} options
 * @param {import("./gallery.js").Gallery} options.gallery
 * @param {(tile: object) => boolean} options.kept
 * @param {(tile: object) => void} options.keep
 * @param {(tile: object) => void} options.open
 * @param {(tile: object) => void} options.focus
 */
export function tileOf(tile, { gallery, kept, keep, open, focus }) {
  const { seed, recipe, picture, made } = tile;
  const ready = isReady(tile);
  const waits = !ready && gallery.problem === null;
  const pressed = kept(tile);
  const classes = { tile: true, stale: picture !== null && !ready, waiting: picture === null && waits };
  return html`<li class=${classMap(classes)} data-seed=${seed} data-ready=${String(ready)}>
    <button type="button" class="open" aria-label=${`Open ${describe(recipe)}`} @click=${() => open(tile)}
      @focus=${() => focus(tile)} @keydown=${step}>
      ${picture ? html`<img class=${classMap({ pixels: true, arrives: true })} src=${gallery.url(picture)} alt=""
        data-truncation=${made.truncation}>` : nothing}
      <span class="seed">${picture === null && !waits ? `${seed} did not come` : seed}</span>
    </button>
    <button type="button" class="keep" aria-pressed=${String(pressed)} aria-label=${`Keep seed ${seed}`} title=${pressed ? "Kept" : "Keep"}
      @click=${() => keep(tile)}><svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">${HEART}</svg></button>
  </li>`;
}

/** Whether the tile of a seed is on screen. */
export function tileVisible(root, seed) {
  const box = root.querySelector(`.tile[data-seed="${seed}"]`)?.getBoundingClientRect();
  return box === undefined || (box.bottom > 0 && box.top < innerHeight);
}

/** The arrow keys go from picture to picture. */
function step(event) {
  const tiles = [...event.currentTarget.closest(".gallery").children];
  const columns = tiles.filter(({ offsetTop }) => offsetTop === tiles[0].offsetTop).length;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  const next = tiles[tiles.indexOf(event.currentTarget.closest("li")) + by];
  if (!next) return;
  event.preventDefault();
  next.querySelector(".open").focus();
}
