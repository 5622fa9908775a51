/** The controls beside the pictures. */

import { html, nothing } from "../../core/lit.js";
import { choice, modelChoice } from "../../components/controls.js";
import { imageInput } from "../../components/image-input.js";
import { SAMPLES } from "./samples.js";
import { FORMATS } from "./settings.js";

const FITS = {
  native: {
    name: "As it is",
    hint: (side) => `At its own size, which the result has too. Finer detail than at ${side} may confuse the model.`,
  },
  pad: {
    name: "All of it",
    hint: (side) => `As large as fits into ${side} × ${side}, with the background beside it.`,
  },
  crop: { name: "Its middle", hint: (side) => `The largest square in its middle, made ${side} × ${side}.` },
  resize: { name: "Squeezed", hint: (side) => `All of it, squeezed or stretched into ${side} × ${side}.` },
};

/** What the model is, and what it wants. */
export function aboutModel({ models, card, medium, choose }) {
  const { size_multiple: multiple, max_size: most, tileable, resolution } = card;
  const sizes = [
    resolution ? `Learnt at ${resolution} × ${resolution}` : "",
    multiple > 1 ? `works in multiples of ${multiple} (others are padded, and cut again)` : "",
    tileable ? "pictures of any size" : most ? `up to ${most} pixels a side` : "",
  ].filter(Boolean);
  const line = sizes.join("; ");
  return html`
    ${modelChoice({ id: "translate-model", models, value: card.name, change: choose })}
    <div class="about">
      ${medium.wants ? html`<p>${medium.wants}</p>` : nothing}
      ${line ? html`<p><small>${line.charAt(0).toUpperCase() + line.slice(1)}.</small></p>` : nothing}
      ${card.notice ? html`<p class="badge warn">${card.notice}</p>` : nothing}
    </div>`;
}

/** Whether a drawing is translated or a picture. */
export function sourceChoice({ source, change }) {
  const one = (id, name) =>
    html`<button type="button" data-source=${id} aria-pressed=${source === id ? "true" : "false"}
      @click=${() => change(id)}>${name}</button>`;
  return html`<div class="sources" role="group" aria-label="Translate">
    ${one("drawing", "A drawing")}${one("picture", "A picture")}</div>`;
}

/** Drawings to begin with. */
export function samples(medium, begin) {
  const known = SAMPLES[medium.id];
  if (known.length === 0) return nothing;
  return html`<div class="field">
    <span class="label" id="samples">Begin with</span>
    <div class="row" role="group" aria-labelledby="samples">
      ${known.map(
        ({ name, deeds }) =>
          html`<button type="button" data-sample=${name} @click=${() => begin(deeds)}>${name}</button>`,
      )}
    </div>
  </div>`;
}

/** Where a picture comes from. */
export function pictureInput({ take, refuse, camera }) {
  const hint = "Drop it anywhere, paste it, or choose a file.";
  return html`${imageInput({ id: "translate-file", label: "Picture", take, refuse, hint })}
    <button type="button" id="camera" @click=${camera}>Use the camera</button>`;
}

/** How a picture meets the model. */
export function pictureSettings({ settings, card, set }) {
  const { fit, restore, alpha, background, format } = settings;
  return html`
    ${card.resolution ? fitChoice(fit, card.resolution, set) : nothing}
    ${fit === "native"
      ? nothing
      : html`<label class="check"><input type="checkbox" id="restore" .checked=${restore}
          @change=${(event) => set({ restore: event.target.checked })}>Bring back to the picture's size</label>`}
    <details class="more" ?open=${alpha !== "flatten" || background !== "#ffffff"}>
      <summary>Transparency and background</summary>
      ${choice({
        id: "alpha",
        label: "What is transparent",
        value: alpha,
        choices: [
          { value: "flatten", text: "is laid onto the background" },
          { value: "keep", text: "stays transparent in the result" },
          { value: "drop", text: "shows the colours it hides" },
        ],
        change: (value) => set({ alpha: value, ...(value === "keep" && format === "jpeg" ? { format: "png" } : {}) }),
      })}
      <div class="field"><label for="background">Background</label>
        <input id="background" type="color" .value=${background}
          @change=${(event) => set({ background: event.target.value })}></div>
    </details>`;
}

function fitChoice(chosen, side, set) {
  return html`<fieldset class="fits">
    <legend class="label">Shown to the model</legend>
    <div class="row">
      ${Object.entries(FITS).map(
        ([fit, { name }]) => html`<label><input type="radio" name="fit" value=${fit} .checked=${fit === chosen}
          @change=${() => set({ fit })}><span>${name}</span></label>`,
      )}
    </div>
    <small>${FITS[chosen].hint(side)}</small>
  </fieldset>`;
}

/** The format of the result. */
export const formatChoice = ({ format, set }) =>
  choice({
    id: "translate-format",
    label: "Format",
    value: format,
    choices: FORMATS.map((value) => ({ value, text: { png: "PNG", webp: "WebP, without loss", jpeg: "JPEG" }[value] })),
    change: (value) => set({ format: value }),
  });
