/** How fast a model is on this server: what the server has counted since it began, and what is timed here and now. */

import { increase, quantile } from "../status/increase.js";
import { parseMetrics } from "../status/prometheus.js";
import { sketch } from "./sketch.js";

export const ALONE = 10;
export const TOGETHER = 3;
const BATCH = 16;
const FIRST_SEED = 1000;
const UPSCALED_SIDE = 64;

/**
 * @typedef {object} Seen
 * @property {Date|null} since when the gateway began
 * @property {Map<string, {images: number, batches: number, p50: number|null, mean: number}>} models in seconds a batch
 */

/**
 * What this gateway has counted of each model.
 *
 * @param {string} text of `/metrics`
 * @returns {Seen}
 */
export function seen(text) {
  const look = parseMetrics(text, (name) => /^(ganserve_(images_total|infer_seconds)|process_start_time)/.test(name));
  const nothing = new Map();
  const totals = (name) => increase(nothing, look, name, ({ model }) => model);
  const [images, sums] = [totals("ganserve_images_total"), totals("ganserve_infer_seconds_sum")];
  const models = new Map();
  for (const [model, batches] of totals("ganserve_infer_seconds_count")) {
    if (!batches) continue;
    const bound = (labels) => (labels.model === model ? labels.le : null);
    const p50 = quantile(0.5, increase(nothing, look, "ganserve_infer_seconds_bucket", bound));
    models.set(model, { images: images.get(model) ?? 0, batches, p50, mean: sums.get(model) / batches });
  }
  const began = look.get("process_start_time_seconds")?.[0]?.value;
  return { since: began ? new Date(began * 1000) : null, models };
}

/**
 * @typedef {object} Timed
 * @property {string} what was asked for
 * @property {number} calls how many, one after the other
 * @property {number} images in each of them
 * @property {number[]} seconds of each, as seen from this page, sorted
 * @property {number[]} inTriton the part of it that the server says Triton took, sorted
 */

/**
 * Times real calls: single pictures, and for generators whole batches as well. The first call is not counted.
 *
 * @param {import("../../core/api.js").Api} api
 * @param {object} card
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {(done: number, all: number) => void} options.progress
 * @returns {Promise<Timed[]>}
 */
export async function measure(api, card, { signal, progress }) {
  const kinds = card.kind === "generator" ? [[1, ALONE], [BATCH, TOGETHER]] : [[1, ALONE]];
  const all = kinds.reduce((sum, [, calls]) => sum + calls + 1, 0);
  let done = 0;
  const timed = [];
  for (const [images, calls] of kinds) {
    const { what, call } = await callOf(api, card, images, signal);
    const [seconds, inTriton] = [[], []];
    for (let place = 0; place <= calls; place++) {
      const began = performance.now();
      const { headers } = await call(place);
      const took = (performance.now() - began) / 1000;
      progress(++done, all);
      if (place === 0) continue; // warms up
      seconds.push(took);
      inTriton.push(tritonSeconds(headers));
    }
    const known = inTriton.filter((value) => value !== null).sort((a, b) => a - b);
    timed.push({ what, calls, images, seconds: seconds.sort((a, b) => a - b), inTriton: known });
  }
  return timed;
}

/** The middle of sorted numbers. */
export function median(sorted) {
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
}

async function callOf(api, card, images, signal) {
  const options = { signal, patient: false }; // waiting for a turn is no speed
  if (card.kind === "generator") {
    const side = card.resolution;
    const label = card.classes?.length ? { label: card.classes[0] } : card.c_dim ? { label: 0 } : {};
    const call = (place) => {
      const first = FIRST_SEED + place * images;
      const seeds = Array.from({ length: images }, (_, n) => first + n);
      const json = { model: card.name, seeds, format: "png", ...label };
      return api.blob("v1/generate", { ...options, json, accept: "application/json" });
    };
    const what = images === 1 ? `one picture of ${side}×${side}` : `${images} pictures of ${side}×${side} at once`;
    return { what, call };
  }
  const side = card.kind === "upscaler" ? UPSCALED_SIDE : card.resolution;
  const drawing = await sketch(side);
  const call = () => {
    const body = new FormData();
    body.set("model", card.name);
    body.set("format", "png");
    body.set("image", drawing, "drawing.png");
    return api.blob(card.kind === "upscaler" ? "v1/super-resolution" : "v1/translate", { ...options, body });
  };
  const scale = card.kind === "upscaler" ? (card.scale ?? 1) : 1;
  return { what: `a drawing of ${side}×${side} to ${side * scale}×${side * scale}`, call };
}

function tritonSeconds(headers) {
  const found = /infer;dur=([\d.]+)/.exec(headers.get("server-timing") ?? "");
  return found ? Number(found[1]) / 1000 : null;
}
