/** What is said beside and below the picture: what it will be, how far it is, what it has become. */

import { html, nothing } from "../../core/lit.js";
import { download, extensionOf } from "../../core/files.js";
import { bytes, duration, number } from "../../core/text.js";
import { progress as bar, working } from "../../components/controls.js";
import { resultName } from "./settings.js";

const NAMES = { "image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WebP" };
const LONG_WAIT = 50; // milliseconds

/**
 * Where it begins; while it is under way, how far it is.
 *
 * @param {object} options
 * @param {File|null} options.file
 * @param {{width: number, height: number}|null} options.before
 * @param {{width: number, height: number}|null} options.size of the result
 * @param {number} options.expected seconds, NaN if nobody knows
 * @param {string} options.refusal why the server would refuse it
 * @param {import("./enlarge.js").Progress & {began: number, now: number}|null} options.progress
 * @param {() => void} options.begin
 * @param {() => void} options.cancel
 */
export function beginning({ file, before, size, expected, refusal, progress, begin, cancel }) {
  return html`<div class="begin">
    ${file ? what({ file, before, size, expected }) : nothing}
    ${refusal ? html`<p class="notice" id="upscale-refusal">${refusal}</p>` : nothing}
    ${progress
      ? html`<div id="working" data-stage=${progress.stage}>${underWay(progress, file, cancel)}</div>`
      : html`<button type="button" class="primary" id="enlarge" ?disabled=${file === null || refusal !== ""}
          @click=${begin}>Enlarge</button>`}
  </div>`;
}

function what({ file, before, size, expected }) {
  const pace = html`<small>about ${duration(expected)}, at the pace of the last one</small>`;
  return html`<p id="upscale-sizes"><span class="name">${file.name}</span>
    ${size ? sizes(before, size) : nothing} ${expected > 1 ? pace : nothing}</p>`;
}

const sizes = (before, after) =>
  html`${before.width} × ${before.height} → <strong>${after.width} × ${after.height}</strong>`;

function underWay({ stage, done, of, began, now }, file, cancel) {
  if (stage === "waiting") return working("Sent; waiting for the server", cancel);
  if (of === undefined) return working(`Sending ${bytes(file.size)}`, cancel);
  const left = done > 1 ? ((now - began) / done / 1000) * (of - done) : 0;
  const end = left > 1 ? `, about ${duration(Math.round(left))} left` : "";
  const label = {
    sending: `Sending: ${bytes(done)} of ${bytes(of)}${end}`,
    computing: `${done} of ${of} tiles${end}`,
    receiving: `Receiving: ${bytes(done)} of ${bytes(of)}${end}`,
  }[stage];
  return html`${bar({ label, value: done, max: of })}
    <button type="button" class="quiet" @click=${cancel}>Cancel</button>`;
}

/** The result: its file, its size, what made it and how long that took. */
export function made({ blob, about, settings, seconds, name }) {
  const { queue, infer } = about.milliseconds;
  const waited = queue > LONG_WAIT ? `, ${duration(queue / 1000)} waiting for its turn` : "";
  const save = () => download(blob, resultName(name, settings.scale, extensionOf(about.media_type)));
  return html`<div class="row made">
    <button type="button" class="primary" id="download" @click=${save}>Download</button>
    <p id="made"><strong>${about.width} × ${about.height}</strong> ·
      ${NAMES[about.media_type] ?? about.media_type}, ${bytes(blob.size)} · ${duration(seconds)}
      <small>(${duration(infer / 1000)} computing${waited}) · ${about.model}, ${number(settings.scale)} times</small>
    </p>
  </div>`;
}
