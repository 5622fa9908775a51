/** What can be chosen for a translation: read from the URL, written to it, to the call and to commands. */

import { curlOf, cliOf, python, pythonArguments } from "../../core/copy-as.js";
import { mediumOf } from "./media.js";

export const FORMATS = ["png", "webp", "jpeg"];
export const ALPHAS = ["flatten", "keep", "drop"];
const FITS = ["native", "resize", "pad", "crop"];
const COLOUR = /^#[0-9a-f]{6}$/i;
const WHITE = "#ffffff";

/**
 * @typedef {object} Settings
 * @property {string} model
 * @property {"drawing"|"picture"} source
 * @property {string} fit of pictures; drawings have the model's size
 * @property {boolean} restore
 * @property {string} alpha
 * @property {string} background `#rrggbb`
 * @property {string} format
 * @property {number|null} frame of files that have several
 */

/** What a model's pictures are begun with. */
function usual(card) {
  const medium = mediumOf(card);
  return {
    source: medium.drawn ? "drawing" : "picture",
    fit: card.resolution ? medium.fit : "native",
    restore: false,
    alpha: "flatten",
    background: WHITE,
    format: "png",
    frame: null,
  };
}

/**
 * The settings of a URL, as far as the models allow.
 *
 * @param {URLSearchParams} params
 * @param {object[]} models cards of translators; at least one
 * @returns {Settings}
 */
export function settingsOf(params, models) {
  const first = models.find((card) => mediumOf(card).id === "ink") ?? models[0];
  const card = models.find(({ name }) => name === params.get("model")) ?? first;
  const instead = usual(card);
  const one = (name, known) => (known.includes(params.get(name)) ? params.get(name) : instead[name]);
  const background = params.get("background") ?? "";
  const frame = params.get("frame");
  const settings = {
    model: card.name,
    source: one("source", ["drawing", "picture"]),
    fit: one("fit", card.resolution ? FITS : ["native"]),
    restore: params.get("restore") === "true",
    alpha: one("alpha", ALPHAS),
    background: COLOUR.test(background) ? background : WHITE,
    format: one("format", FORMATS),
    frame: /^\d{1,5}$/.test(frame ?? "") ? Number(frame) : null,
  };
  return sensible(settings);
}

/** For the URL: what is not as it would be without a word. */
export function paramsOf(settings, card) {
  const instead = usual(card);
  const differing = Object.entries(settings).filter(([name, value]) => name !== "model" && value !== instead[name]);
  return { model: settings.model, ...Object.fromEntries(differing) };
}

/** Without what the server would refuse. */
export function sensible(settings) {
  return settings.alpha === "keep" && settings.format === "jpeg" ? { ...settings, alpha: "flatten" } : settings;
}

/** The parameters of the call beside the model, only those that are not as the server has them without a word. */
function parameters({ source, fit, restore, alpha, background, format, frame }) {
  const drawn = source === "drawing";
  return {
    fit: drawn || fit === "native" ? undefined : fit,
    restore: (!drawn && restore && fit !== "native") || undefined,
    alpha: drawn || alpha === "flatten" ? undefined : alpha,
    background: drawn || background === WHITE ? undefined : background,
    format,
    frame: drawn || frame === null ? undefined : frame,
  };
}

/** The fields of the call, as text. */
export function fieldsOf(settings) {
  const given = Object.entries({ model: settings.model, ...parameters(settings) });
  const said = given.filter(([, value]) => value !== undefined);
  return Object.fromEntries(said.map(([name, value]) => [name, String(value)]));
}

/**
 * The call as commands.
 *
 * @param {Settings} settings
 * @param {string} name of the file that is sent
 * @param {string} result name of the file that is written
 * @param {{url: string, key: boolean}} server
 */
export function commandsOf(settings, name, result, { url, key }) {
  const image = /[;,"\\]/.test(name) ? `@"${name.replace(/["\\]/g, "\\$&")}"` : `@${name}`; // as curl reads it
  const given = parameters(settings);
  const path = name.startsWith("-") ? `./${name}` : name;
  const words = ["translate", path, "--model", settings.model, "--out", "translated"];
  for (const [option, value] of Object.entries(given)) {
    if (value === true) words.push(`--${option}`);
    else if (value !== undefined) words.push(`--${option}`, value);
  }
  return {
    curl: () => curlOf({ path: "v1/translate", form: { image, ...fieldsOf(settings) }, save: result, key }),
    Python: () =>
      [
        "from service.client import Client",
        "",
        `client = Client(${python(url)})`,
        `image = client.translate(${python(settings.model)}, ${python(name)}, ${pythonArguments(given)})`,
        `image.save(${python(result)})`,
      ].join("\n"),
    CLI: () => cliOf(words),
  };
}

/** What the translation of a file is called. */
export function resultName(name, model, extension) {
  return `${name.replace(/\.[^.]*$/, "")}-${model}.${extension}`;
}
