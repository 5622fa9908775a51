/** What a new job is to do, as a form. */

import { html, nothing } from "../../core/lit.js";
import { bytes, counted } from "../../core/text.js";
import { choice, modelChoice, slider } from "../../components/controls.js";
import { check, textField } from "./fields.js";
import { generating, translating, upscaling } from "./parameters.js";
import { hasQuality, seedsFrom } from "./settings.js";
import { OPERATIONS } from "./words.js";

const MOST_LISTED = 100;
const NAMING_HINTS = { generate: "As in {seed:06}.{ext}", images: "As in {path}/{stem}-large.{ext}" };

/** @param {import("./new-job.js").NewJob} job */
export function form(job) {
  const { fault } = job;
  return html`<form class="card new-job" @submit=${job.send} aria-label="New job">
    <div class="parts">
      <div class="part">${job.fromSeeds ? seeds(job) : files(job)}</div>
      <div class="part">${job.card ? what(job) : nothing}</div>
      <div class="part">${job.card ? how(job) : nothing}</div>
    </div>
    ${fault ? html`<p class="notice fault" role="status"><span>${fault}</span></p>` : nothing}
    <p class="row">
      <button class="primary" id="send" ?disabled=${fault !== ""}>${verb(job)}</button>
      <button type="button" class="quiet" id="discard" @click=${job.discard}>Discard</button>
    </p>
  </form>`;
}

function verb(job) {
  const { verb } = OPERATIONS[job.operation];
  if (job.fromSeeds) return `${verb} ${counted(seedsFrom(job.values.seeds ?? "").count ?? 0, "image")}`;
  const { images, zips } = job.draft;
  const things = [
    images.length && counted(images.length, "image"),
    zips.length && counted(zips.length, "archive"),
  ].filter(Boolean);
  return `${verb} ${things.join(" and ")}`;
}

function files({ draft, discard }) {
  return html`<h2>${draft.folder || "New job"}</h2>
    <p class="sum">
      ${
        [
          draft.images.length && counted(draft.images.length, "image"),
          draft.zips.length && counted(draft.zips.length, "archive"),
        ]
          .filter(Boolean)
          .join(", ") || "Nothing to send yet"
      }${draft.bytes ? `, ${bytes(draft.bytes)}` : ""}
    </p>
    ${
      draft.reading
        ? html`<div class="progress">
            <progress aria-label="Looking through folders"></progress>
            <button type="button" class="quiet" @click=${discard}>Stop</button>
          </div>`
        : nothing
    }
    <div class="previews">${draft.previews().map((url) => html`<img src=${url} alt="" decoding="async" />`)}</div>
    ${listed(
      "What is sent",
      [...draft.zips, ...draft.images].map(({ path }) => path),
      "sent",
    )}
    ${
      draft.leftOut.length
        ? listed(
            `${counted(draft.leftOut.length, "file is", "files are")} left out`,
            draft.leftOut.map(({ path, why }) => `${path}: ${why}`),
            "left-out",
            true,
          )
        : nothing
    }`;
}

function listed(title, lines, name, open = false) {
  if (!lines.length) return nothing;
  const more = lines.length - MOST_LISTED;
  return html`<details class=${`listed ${name}`} ?open=${open}>
    <summary>${title}</summary>
    <ul tabindex="0" aria-label=${title}>
      ${lines.slice(0, MOST_LISTED).map((line) => html`<li>${line}</li>`)}
      ${more > 0 ? html`<li>and ${more} more</li>` : nothing}
    </ul>
  </details>`;
}

function seeds(job) {
  const text = job.values.seeds ?? "0-99";
  return html`<h2>Images from seeds</h2>
    ${textField(job, "seeds", "Seeds", "As in 0-99 or 3,7,40-44; each makes one image", text)}`;
}

function what(job) {
  const { operation, card, cards, values, set } = job;
  const pick = (op) =>
    html`<button type="button" aria-pressed=${String(operation === op)} @click=${() => set("op", op)}>
      ${OPERATIONS[op].verb}
    </button>`;
  return html`${
    operation === "generate"
      ? nothing
      : html`<div class="row pair" role="group" aria-label="What to do">
          ${pick("super-resolution")}${pick("translate")}
        </div>`
  }
  ${modelChoice({ id: "model", models: cards, value: card.name, change: (value) => set("model", value) })}
  ${{ "super-resolution": upscaling, translate: translating, generate: generating }[operation](job, card, values)}`;
}

function how(job) {
  const { values, set, operation } = job;
  const { format = "png", quality, priority = "normal" } = values;
  return html`<div class="two">
      ${choice({
        id: "format",
        label: "Format",
        value: format === "webp" && hasQuality(format, quality) ? "webp-lossy" : format,
        choices: [
          { value: "png", text: "PNG" },
          { value: "webp", text: "WebP, lossless" },
          { value: "webp-lossy", text: "WebP" },
          { value: "jpeg", text: "JPEG" },
        ],
        change: (value) => {
          set("format", value === "png" ? "" : value.split("-")[0]);
          set("quality", value === "webp-lossy" || value === "jpeg" ? 90 : "");
        },
      })}
      ${choice({
        id: "priority",
        label: "Priority",
        value: priority,
        change: (value) => set("priority", value === "normal" ? "" : value),
        choices: [
          { value: "high", text: "High" },
          { value: "normal", text: "Normal" },
          { value: "low", text: "Low" },
        ],
      })}
    </div>
    ${hasQuality(format, quality) ? qualitySlider(Number(quality || 90), set) : nothing}
    <details class="more">
      <summary>More</summary>
      <div class="part">
        ${textField(job, "title", "Title", "What the job is called in the list", values.title ?? job.draft.folder)}
        ${textField(job, "naming", "Names of results", NAMING_HINTS[operation] ?? NAMING_HINTS.images)}
        ${operation === "generate" ? nothing : check(job, "keep_exif", "Copy EXIF; it may say where")}
        ${check(job, "sign", "Sign the files (C2PA)")}
        ${textField(job, "webhook", "Webhook", "An https address that is told of the end", undefined, "url")}
        ${values.webhook ? secret(job) : nothing}
      </div>
    </details>`;
}

function qualitySlider(value, set) {
  const change = (chosen) => set("quality", chosen);
  return slider({ id: "quality", label: "Quality", value, min: 1, max: 100, step: 1, change });
}

function secret({ setSecret }) {
  return html`<div class="field">
    <label for="secret">Its secret</label>
    <input
      id="secret"
      type="password"
      autocomplete="off"
      aria-describedby="secret-hint"
      @change=${(event) => setSecret(event.target.value.trim())}
    />
    <small id="secret-hint">whsec_…, which signs what is sent; left empty, the operator's. It is in no URL.</small>
  </div>`;
}
