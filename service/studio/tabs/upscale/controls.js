/** The controls beside the picture. */

import { html, nothing } from "../../core/lit.js";
import { choice, modelChoice, numberField, slider } from "../../components/controls.js";

const USUAL_QUALITY = 90;
/** As they are chosen: a WebP without a quality is lossless. */
const FORMATS = [
  { value: "png", text: "PNG, without loss", format: "png", quality: null },
  { value: "webp", text: "WebP, without loss", format: "webp", quality: null },
  { value: "webp-small", text: "WebP, small", format: "webp", quality: USUAL_QUALITY },
  { value: "jpeg", text: "JPEG", format: "jpeg", quality: USUAL_QUALITY },
];

/**
 * @param {object} options
 * @param {import("./settings.js").Settings} options.settings
 * @param {object} options.card of the model
 * @param {object[]} options.models
 * @param {(changes: Partial<import("./settings.js").Settings>) => void} options.set
 */
export function controls({ settings, card, models, set }) {
  const { model, scale, format, quality, background, frame, keepExif, sign } = settings;
  const lossy = format === "jpeg" || quality !== null;
  const chosen = format === "webp" && lossy ? "webp-small" : format;
  const choose = (value) => {
    const one = FORMATS.find((known) => known.value === value);
    set({ format: one.format, quality: one.quality });
  };
  return html`
    ${modelChoice({ id: "upscale-model", models, value: model, change: (name) => set({ model: name }) })}
    ${slider({ id: "upscale-scale", label: "Times larger", value: scale, min: 1, max: card.scale, step: 0.1,
      change: (value) => set({ scale: value }) })}
    ${choice({ id: "upscale-format", label: "Format", value: chosen, choices: FORMATS, change: choose })}
    ${!lossy ? nothing : slider({ id: "upscale-quality", label: "Quality", value: quality ?? USUAL_QUALITY,
      min: 1, max: 100, step: 1, change: (value) => set({ quality: value }) })}
    <details ?open=${background !== null || keepExif || sign || frame !== null}>
      <summary>More</summary>
      <div class="more">
        <label class="check">
          <input type="checkbox" id="upscale-fill" .checked=${background !== null}
            @change=${(event) => set({ background: event.target.checked ? "#ffffff" : null })}>
          Fill what is transparent
        </label>
        ${background === null ? nothing : html`<div class="field"><label for="upscale-background">With</label>
          <input id="upscale-background" type="color" .value=${background}
            @change=${(event) => set({ background: event.target.value })}></div>`}
        <label class="check"><input type="checkbox" id="upscale-exif" .checked=${keepExif}
          @change=${(event) => set({ keepExif: event.target.checked })}>Keep EXIF (it may say where)</label>
        <label class="check"><input type="checkbox" id="upscale-sign" .checked=${sign}
          @change=${(event) => set({ sign: event.target.checked })}>Sign it (C2PA)</label>
        ${numberField({ id: "upscale-frame", label: "Frame or page, of files with several", value: frame ?? "",
          min: 0, max: 100_000, change: (value) => set({ frame: value }) })}
      </div>
    </details>`;
}
