/** The two pictures beside each other: what is translated, and what it becomes. */

import { classMap, html, nothing } from "../../core/lit.js";
import { bytes, duration } from "../../core/text.js";

const SMALL = 320; // pixels; up to here they are shown pixel for pixel

/** The box of both pictures: a square, or as the picture is where all of it comes back. */
export function aspectOf({ source, fit, restore }, picture) {
  const square = source === "drawing" || !picture?.width || fit === "crop" || (fit !== "native" && !restore);
  return square ? 1 : picture.width / picture.height;
}

const hint = (text) => html`<p class="hint">${text}</p>`;

/** The paper. */
export function drawingPanel(pad) {
  return html`<figure class="before">
    <div class="frame">${pad.element}${pad.blank ? hint("Draw here") : nothing}</div>
    <figcaption>Drawing</figcaption>
  </figure>`;
}

/**
 * A picture as the model is shown it.
 *
 * @param {object} options
 * @param {object|null} options.picture see tab.js
 * @param {string} options.url of its file
 * @param {import("./settings.js").Settings} options.settings
 * @param {(width: number, height: number) => void} options.seen told its size; 0 if the browser cannot show it
 */
export function picturePanel({ picture, url, settings, seen }) {
  return html`<figure class="before">
    <div class="frame">${pictureOf(picture, url, settings, seen)}</div>
    <figcaption><span class="name">${picture?.name ?? "Picture"}</span>
      ${picture?.width ? html`<small>${picture.width} × ${picture.height}</small>` : nothing}</figcaption>
  </figure>`;
}

function pictureOf(picture, url, { fit, restore }, seen) {
  if (picture === null) return hint("Drop a picture here, paste one, choose a file or use the camera.");
  if (picture.width === 0) {
    return hint(`This browser cannot show ${picture.name}; the server may read it all the same.`);
  }
  const squeezed = fit === "resize" && !restore;
  const how = { "fit-crop": fit === "crop", "fit-resize": squeezed, pixels: picture.width <= SMALL };
  return html`<img id="before" class=${classMap(how)} src=${url} alt=${`The picture: ${picture.name}`}
    @load=${(event) => seen(event.target.naturalWidth, event.target.naturalHeight)} @error=${() => seen(0, 0)}>`;
}

/**
 * What has become of it.
 *
 * @param {object} options
 * @param {import("./translation.js").Translation} options.translation
 * @param {boolean} options.stale whether it is of something else
 * @param {boolean} options.drawing
 * @param {() => void} options.open shows it large
 */
export function resultPanel({ translation, stale, drawing, open }) {
  const { result, slow } = translation;
  return html`<figure class="after">
    <div class=${stale ? "frame stale" : "frame"}>
      ${result === null
        ? hint(drawing ? "Its translation, as you draw" : "Its translation")
        : html`<button type="button" class="open" id="open-result" aria-label="Show the translation large"
            @click=${open}>${translated(translation)}</button>`}
    </div>
    <figcaption><span>Translation${stale ? " of what was here before" : ""}</span>
      ${slow ? underWay(() => translation.cancel()) : result ? facts(result) : nothing}</figcaption>
  </figure>`;
}

function translated(translation) {
  const { width } = translation.result;
  return html`<img id="after" class=${classMap({ pixels: !width || width <= SMALL })} src=${translation.url}
    alt="The translation"
    @load=${(event) => translation.shown(event.target.naturalWidth, event.target.naturalHeight)}>`;
}

/** Its size, file and time. */
function facts({ width, height, blob, seconds }) {
  const kind = blob.type.split("/")[1]?.toUpperCase() ?? "";
  return html`<small id="facts">${width ? `${width} × ${height} · ` : nothing}${kind}, ${bytes(blob.size)} ·
    ${duration(seconds)}</small>`;
}

const underWay = (cancel) => html`<span class="under-way">Translating…
  <button type="button" class="quiet" id="cancel" @click=${cancel}>Cancel</button></span>`;
