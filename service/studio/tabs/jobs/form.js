/** What a new job is to do, as a form. */

import { html, live, nothing } from "../../core/lit.js";
import { labelFor, labelsOf } from "../../core/generator.js";
import { bytes, counted } from "../../core/text.js";
import { choice, modelChoice, slider } from "../../components/controls.js";
import { hasQuality, seedsFrom } from "./settings.js";
import { OPERATIONS } from "./words.js";

const MOST_LISTED = 100;

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
  const things = [images.length && counted(images.length, "image"), zips.length && counted(zips.length, "archive")].filter(Boolean);
  return `${verb} ${things.join(" and ")}`;
}

function files({ draft, discard }) {
  return html`<h2>${draft.folder || "New job"}</h2>
    <p class="sum">${[
      draft.images.length && counted(draft.images.length, "image"),
      draft.zips.length && counted(draft.zips.length, "archive"),
    ].filter(Boolean).join(", ") || "Nothing to send yet"}${draft.bytes ? `, ${bytes(draft.bytes)}` : ""}</p>
    ${draft.reading
      ? html`<div class="progress"><progress aria-label="Looking through folders"></progress>
          <button type="button" class="quiet" @click=${discard}>Stop</button></div>`
      : nothing}
    <div class="previews">${draft.previews().map((url) => html`<img src=${url} alt="" decoding="async">`)}</div>
    ${listed("What is sent", [...draft.zips, ...draft.images].map(({ path }) => path), "sent")}
    ${draft.leftOut.length
      ? listed(`${counted(draft.leftOut.length, "file is", "files are")} left out`, draft.leftOut.map(({ path, why }) => `${path}: ${why}`), "left-out", true)
      : nothing}`;
}

function listed(title, lines, name, open = false) {
  if (!lines.length) return nothing;
  const more = lines.length - MOST_LISTED;
  return html`<details class=${`listed ${name}`} ?open=${open}>
    <summary>${title}</summary>
    <ul tabindex="0" aria-label=${title}>${lines.slice(0, MOST_LISTED).map((line) => html`<li>${line}</li>`)}${more > 0 ? html`<li>and ${more} more</li>` : nothing}</ul>
  </details>`;
}

function seeds(job) {
  const text = job.values.seeds ?? "0-99";
  return html`<h2>Images from seeds</h2>
    ${textField(job, "seeds", "Seeds", "As in 0-99 or 3,7,40-44; each makes one image", text)}`;
}

function what(job) {
  const { operation, card, cards, values, set } = job;
  const pick = (op) => html`<button type="button" aria-pressed=${String(operation === op)} @click=${() => set("op", op)}>${OPERATIONS[op].verb}</button>`;
  return html`${operation === "generate" ? nothing : html`<div class="row pair" role="group" aria-label="What to do">${pick("super-resolution")}${pick("translate")}</div>`}
    ${modelChoice({ id: "model", models: cards, value: card.name, change: (value) => set("model", value) })}
    ${{ "super-resolution": upscaling, translate: translating, generate: generating }[operation](job, card, values)}`;
}

function upscaling({ set }, card, { scale }) {
  return slider({ id: "scale", label: "Times larger", value: Number(scale || card.scale), min: 1, max: card.scale, step: 0.25, change: (value) => set("scale", value === card.scale ? "" : value) });
}

function translating(job, card, { fit = "native", alpha = "flatten", background }) {
  const { set } = job;
  return html`${choice({
      id: "fit", label: "Fit", value: fit, change: (value) => set("fit", value === "native" ? "" : value),
      choices: [
        { value: "native", text: "At its own size" },
        { value: "resize", text: "Squeeze into the model's square" },
        { value: "pad", text: "Pad to a square" },
        { value: "crop", text: "Crop to a square" },
      ],
    })}
    ${fit === "native" ? nothing : check(job, "restore", "Back to the size it had")}
    ${choice({
      id: "alpha", label: "Transparency", value: alpha, change: (value) => set("alpha", value === "flatten" ? "" : value),
      choices: [
        { value: "flatten", text: "Lay onto the background" },
        { value: "keep", text: "Keep" },
        { value: "drop", text: "Ignore" },
      ],
    })}
    <div class="field"><label for="background">Background</label>
      <input id="background" type="color" .value=${live(background ?? "#ffffff")} @change=${(event) => set("background", event.target.value === "#ffffff" ? "" : event.target.value)}></div>`;
}

function generating(job, card, { truncation = "1", noise = "const", label }) {
  const { set } = job;
  const labels = labelsOf(card);
  const seeded = /^\d+$/.test(noise);
  return html`${slider({ id: "truncation", label: "Truncation", value: Number(truncation), min: 0, max: 1.5, step: 0.05, change: (value) => set("truncation", value === 1 ? "" : value) })}
    ${labels.length ? choice({ id: "label", label: "Class", value: labelFor(card, label), choices: labels, change: (value) => set("label", value) }) : nothing}
    ${choice({
      id: "noise", label: "Noise", value: noise, change: (value) => set("noise", value === "const" ? "" : value),
      choices: [{ value: "const", text: "The model's own" }, { value: "none", text: "None" }, { value: seeded ? noise : "1", text: seeded ? `Fresh, seed ${noise}` : "Fresh" }],
    })}`;
}

function how(job) {
  const { values, set, operation } = job;
  const { format = "png", quality, priority = "normal" } = values;
  return html`<div class="two">
      ${choice({
        id: "format", label: "Format", value: format === "webp" && hasQuality(format, quality) ? "webp-lossy" : format,
        choices: [{ value: "png", text: "PNG" }, { value: "webp", text: "WebP, lossless" }, { value: "webp-lossy", text: "WebP" }, { value: "jpeg", text: "JPEG" }],
        change: (value) => {
          set("format", value === "png" ? "" : value.split("-")[0]);
          set("quality", value === "webp-lossy" || value === "jpeg" ? 90 : "");
        },
      })}
      ${choice({
        id: "priority", label: "Priority", value: priority, change: (value) => set("priority", value === "normal" ? "" : value),
        choices: [{ value: "high", text: "High" }, { value: "normal", text: "Normal" }, { value: "low", text: "Low" }],
      })}
    </div>
    ${hasQuality(format, quality) ? slider({ id: "quality", label: "Quality", value: Number(quality || 90), min: 1, max: 100, step: 1, change: (value) => set("quality", value) }) : nothing}
    <details class="more">
      <summary>More</summary>
      <div class="part">
        ${textField(job, "title", "Title", "What the job is called in the list", values.title ?? job.draft.folder)}
        ${textField(job, "naming", "Names of results", operation === "generate" ? "As in {seed:06}.{ext}" : "As in {path}/{stem}-large.{ext}")}
        ${operation === "generate" ? nothing : check(job, "keep_exif", "Copy EXIF; it may say where")}
        ${check(job, "sign", "Sign the files (C2PA)")}
        ${textField(job, "webhook", "Webhook", "An https address that is told of the end", undefined, "url")}
        ${values.webhook ? secret(job) : nothing}
      </div>
    </details>`;
}

function check({ values, set }, name, text) {
  return html`<label class="check"><input id=${name} type="checkbox" .checked=${live(Boolean(values[name]))}
    @change=${(event) => set(name, event.target.checked ? "1" : "")}> ${text}</label>`;
}

function textField({ values, set }, name, label, hint, value = values[name] ?? "", type = "text") {
  return html`<div class="field">
    <label for=${name}>${label}</label>
    <input id=${name} type=${type} .value=${live(value ?? "")} aria-describedby=${`${name}-hint`} spellcheck="false" autocomplete="off"
      @change=${(event) => set(name, event.target.value.trim())}>
    <small id=${`${name}-hint`}>${hint}</small>
  </div>`;
}

function secret({ setSecret }) {
  return html`<div class="field"><label for="secret">Its secret</label>
    <input id="secret" type="password" autocomplete="off" aria-describedby="secret-hint" @change=${(event) => setSecret(event.target.value.trim())}>
    <small id="secret-hint">whsec_…, which signs what is sent; left empty, the operator's. It is in no URL.</small></div>`;
}
