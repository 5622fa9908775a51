/** Recipes of files: as facts to read, and as views of this page that make the same again. */

import { html } from "../../core/lit.js";
import { textOf } from "../../core/recipe-text.js";
import { number } from "../../core/text.js";
import { hashOf } from "../../core/view.js";

const OPERATIONS = {
  "super-resolution": "Enlarged",
  translate: "Translated",
  "style-mix": "Mixed",
  interpolate: "Interpolated",
};
const SOURCES = {
  trainedAlgorithmicMedia: "made by a trained model",
  compositeWithTrainedAlgorithmicMedia: "made in part by a trained model",
  digitalCapture: "taken with a camera",
  algorithmicMedia: "made by a program",
};
/** Said elsewhere, or of no use to a reader. */
const PASSED_OVER = ["model", "digest", "operation", "pixels_sha256", "ws"];
const NAMES = {
  seed: "Seed",
  seeds: "Seeds",
  truncation: "Truncation ψ",
  truncation_cutoff: "Truncated layers",
  noise: "Noise",
  label: "Class",
  edits: "Edits",
  rotation: "Rotation",
  translation: "Translation",
  ws_sha256: "Styles (sha256)",
  scale: "Times larger",
  source_size: "Made of a picture of",
  source_sha256: "Pixels of that (sha256)",
  background: "Background",
  frames: "Frames",
  fps: "Frames a second",
  quality: "Quality",
  easing: "Easing",
  space: "Space",
  loop: "Loop",
  keyframes: "Keyframes",
  rows: "Rows",
  columns: "Columns",
  layers: "Layers",
};

/**
 * A recipe as facts.
 *
 * @param {object} report with a recipe
 * @returns {[string, unknown][]} name and what it is, text or a template
 */
export function factsOf({ recipe, model, recipe_source: place }) {
  const facts = [];
  if (recipe.operation) facts.push(["How", OPERATIONS[recipe.operation] ?? String(recipe.operation)]);
  facts.push(["Model", html`<strong>${String(recipe.model ?? "not named")}</strong>${served(model)}`]);
  if (typeof recipe.digest === "string") facts.push(["Its weights", html`<code>${recipe.digest}</code>`]);
  for (const [name, value] of Object.entries(recipe)) {
    if (PASSED_OVER.includes(name) || value === null) continue;
    facts.push([NAMES[name] ?? name, said(name, value)]);
  }
  facts.push(["Said by", place === "manifest" ? "its signed manifest" : "the file itself"]);
  return facts;
}

function served(model) {
  if (!model) return "";
  if (model.served === null) return " · cannot be asked for at the moment";
  if (!model.served) return " · not served here";
  return model.same_digest ? " · served here with these weights" : " · served here with other weights";
}

function said(name, value) {
  if (name === "source_size" && Array.isArray(value)) return `${value.join(" × ")} pixels`;
  if (name === "edits" && value && typeof value === "object") {
    return Object.entries(value).map(([edit, amount]) => `${edit} ${amount}`).join(", ");
  }
  if (typeof value === "number") return name === "seed" ? String(value) : number(value);
  if (typeof value === "string" && !name.endsWith("_sha256")) return value;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value) && value.every((one) => typeof one !== "object")) return value.join(", ");
  return html`<code>${typeof value === "string" ? value : JSON.stringify(value)}</code>`;
}

/** IPTC's kinds of sources in words. */
export function sourceType(uri) {
  const kind = uri.split("/").pop();
  return SOURCES[kind] ?? kind;
}

/**
 * The view of this page that makes it again, if there is one.
 *
 * @param {object} report with a recipe
 * @param {object} [card] of the model, if it is served
 * @returns {{hash: string, tab: string}|null}
 */
export function viewOf({ recipe, model }, card) {
  if (!model?.served || !card) return null;
  const view = VIEWS[recipe.operation ?? "generate"]?.(recipe, card);
  if (!view) return null;
  const given = Object.entries(view.values).filter(([, value]) => value !== null && value !== undefined);
  const params = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
  return { tab: view.tab, hash: hashOf(view.tab.toLowerCase(), params) };
}

const VIEWS = {
  generate: (recipe, card) => {
    const { model, seed, seeds, ws, edits } = recipe;
    if (ws || Object.keys(edits ?? {}).length) {
      return { tab: "Edit", values: { model, from: textOf(named(recipe, card)) } };
    }
    if (seed === undefined && !Array.isArray(seeds)) return null;
    const { truncation, truncation_cutoff: cutoff, noise, label, rotation, translation } = named(recipe, card);
    return {
      tab: "Generate",
      values: {
        model,
        seeds: seeds ? seeds.join(",") : seed,
        truncation: truncation === 1 ? null : truncation,
        cutoff,
        label,
        noise: noise === "const" ? null : noise,
        rotation,
        translation: translation?.join(","),
      },
    };
  },
  "super-resolution": ({ model, scale, background }) => ({ tab: "Upscale", values: { model, scale, background } }),
  translate: ({ model, fit, restore, alpha, background }) => ({
    tab: "Translate",
    values: { model, fit, restore, alpha, background },
  }),
  "style-mix": ({ model, rows, columns, layers, noise }, card) => {
    if (![rows, columns].every(complete) || (noise ?? "const") !== "const") return null;
    const texts = (sources) => sources.map((one) => textOf(named(one, card))).join(",");
    return {
      tab: "Mix",
      values: { model, rows: texts(rows), columns: texts(columns), layers: [layers].flat().join(",") },
    };
  },
  interpolate: ({ model, keyframes, frames, space, easing, loop, fps, noise }, card) => {
    if (!complete(keyframes)) return null;
    return {
      tab: "Interpolate",
      values: {
        model,
        keyframes: keyframes.map((one) => textOf(named(one, card))).join(","),
        frames,
        space,
        easing,
        loop: loop ? 1 : null,
        fps,
        noise: noise === "const" ? null : noise,
      },
    };
  },
};

/** Whether a list of latents is there, with all styles; long ones are left out of recipes. */
const complete = (latents) => Array.isArray(latents) && latents.every((one) => one && (one.ws || !one.ws_sha256));

/** With the class by name, where the model has names. */
function named(recipe, card) {
  const name = typeof recipe.label === "number" ? card.classes?.[recipe.label] : undefined;
  return name === undefined ? recipe : { ...recipe, label: name };
}
