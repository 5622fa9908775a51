/** What a card and the page of a model have in common. */

import { html, nothing } from "../../core/lit.js";
import { counted, duration } from "../../core/text.js";

/** Of fewer, the median lies anywhere within a bucket of the histogram. */
const LEAST_BATCHES = 20;

const STATES = {
  READY: null,
  CHECKING: { mark: "warn", text: "Being checked" },
  REFUSED: { mark: "bad", text: "Refused" },
  FAILING: { mark: "bad", text: "Failing" },
  UNLOADED: { mark: "warn", text: "Unloaded" },
};

/** Kind, family, size, state and what it may not be used for. */
export function badges(card) {
  const state = STATES[card.state] ?? null;
  const { newer } = card;
  const square = card.resolution ? `${card.resolution}×${card.resolution}` : null;
  const size = card.kind === "upscaler" ? `×${card.scale}` : square;
  return html`<p class="row badges">
    ${state ? html`<span class="badge ${state.mark}" data-state=${card.state}>${state.text}</span>` : nothing}
    ${newer
      ? html`<span class="badge warn" data-newer>Version ${newer.version}: ${newer.state.toLowerCase()}</span>`
      : nothing}
    ${card.commercial_use === false
      ? html`<span class="badge bad" data-non-commercial>⊘ Not for commercial use</span>`
      : nothing}
    <span class="badge">${card.kind}</span>
    ${size ? html`<span class="badge">${size}</span>` : nothing}
    ${card.family ? html`<span class="badge">${card.family}</span>` : nothing}
  </p>`;
}

/** The licence, with its text where the card says where that is; nothing but http(s) becomes a link. */
export function licence(card) {
  if (!card.licence) return "not known";
  return /^https?:\/\//i.test(card.licence_url ?? "")
    ? html`<a href=${card.licence_url} rel="external noopener noreferrer" target="_blank">${card.licence}</a>`
    : card.licence;
}

/** The data that it learnt from, by whatever name the card has for it. */
export function datasetName({ dataset }) {
  if (typeof dataset === "string") return dataset;
  return dataset?.title ?? dataset?.name ?? dataset?.recipe ?? "not known";
}

/** What this gateway has counted of a model, in a sentence. */
export function seenText(seen, name) {
  if (seen === null) return "";
  const counts = seen.models.get(name);
  if (!counts) return `Not asked since this server began${since(seen)}.`;
  const p50 = counts.batches < LEAST_BATCHES ? "" : `, half of them within ${time(counts.p50)}`;
  const done = `${counted(counts.images, "image")} in ${counted(counts.batches, "batch", "batches")}`;
  return `${done} since this server began${since(seen)}; ${time(counts.mean)} a batch in Triton on average${p50}.`;
}

/** The same in a few words. */
export function seenBriefly(seen, name) {
  const counts = seen?.models.get(name);
  return counts ? `${time(counts.mean)} a batch, mean of ${counts.batches}` : null;
}

export const time = (seconds) => (seconds < 0.01 ? `${Number((seconds * 1000).toPrecision(2))} ms` : duration(seconds));

function since({ since: began }) {
  return began ? ` (${began.toLocaleString(undefined, { dateStyle: "short", timeStyle: "short" })})` : "";
}

/** Where it can be used. */
export function useOf({ kind, name }) {
  const tab = { generator: "generate", translator: "translate", upscaler: "upscale" }[kind];
  const text = kind === "generator" ? "Generate with it" : "Use it";
  return { href: `#${tab}?${new URLSearchParams({ model: name })}`, text };
}

export const pageOf = (name) => `#models?${new URLSearchParams({ model: name })}`;

/**
 * The pictures of a model, or why there are none.
 *
 * @param {object} card
 * @param {import("./samples.js").Sheet} sheet
 * @param {(blob: Blob) => string} url
 * @param {() => void} again
 */
export function sheetOf(card, sheet, url, again) {
  if (card.state !== "READY") {
    return html`<div class="sheet none"><p>${card.reason ?? "It takes no traffic."}</p></div>`;
  }
  if (sheet.state === "failed") {
    return html`<div class="sheet none">
      <p><strong>No sample:</strong> ${sheet.problem.title ?? String(sheet.problem)}.</p>
      <button type="button" @click=${again}>Try again</button></div>`;
  }
  if (sheet.state === "none") {
    return html`<div class="sheet none">
      <p>An example needs a picture of its own kind: <a href=${useOf(card).href}>give it one</a>.</p></div>`;
  }
  const generator = card.kind === "generator";
  const pictures = sheet.state === "there" ? sheet.pictures : Array.from({ length: generator ? 8 : 2 }, () => null);
  return html`<figure>
    <ul class=${generator ? "sheet seeds" : "sheet pair"}>
      ${pictures.map((picture) =>
        picture ? html`<li class="tile">${tile(picture, url)}</li>` : html`<li class="tile waiting"></li>`,
      )}
    </ul>
    <figcaption><small>${sheet.caption || "Being drawn…"}</small></figcaption>
  </figure>`;
}

function tile({ blob, alt, href }, url) {
  const image = html`<img class="pixels arrives" src=${url(blob)} alt=${alt}>`;
  return href ? html`<a href=${href} title=${`${alt}: open in Generate`}>${image}</a>` : image;
}
