/** What can be chosen for an enlargement: read from the URL, written to it, to the call and to commands. */

import { cliOf, curlOf, fileOfForm, python, pythonArguments } from "../../core/copy-as.js";

export const FORMATS = ["png", "jpeg", "webp"];
const COLOUR = /^#[0-9a-f]{6}$/i;

/**
 * @typedef {object} Settings
 * @property {string} model
 * @property {number} scale
 * @property {string} format
 * @property {number|null} quality null for the server's own
 * @property {string|null} background `#rrggbb`, or null to keep transparency
 * @property {number|null} frame of files that have several
 * @property {boolean} keepExif
 * @property {boolean} sign with a C2PA manifest
 */

/**
 * The settings of a URL, as far as the models allow.
 *
 * @param {URLSearchParams} params
 * @param {object[]} models cards of upscalers; at least one
 * @returns {Settings}
 */
export function settingsOf(params, models) {
  const card = models.find(({ name }) => name === params.get("model")) ?? models[0];
  const format = FORMATS.includes(params.get("format")) ? params.get("format") : "png";
  const background = params.get("background");
  return {
    model: card.name,
    scale: within(params.get("scale"), 1, card.scale) ?? card.scale,
    format,
    quality: format === "png" ? null : whole(params.get("quality"), 1, 100),
    background: COLOUR.test(background ?? "") ? background : null,
    frame: whole(params.get("frame"), 0, 100_000),
    keepExif: params.get("keep_exif") === "true",
    sign: params.get("sign") === "true",
  };
}

/** For the URL: what is not as it would be without a word. */
export function paramsOf({ model, scale, format, quality, background, frame, keepExif, sign }, card) {
  return {
    model,
    scale: scale === card.scale ? null : scale,
    format: format === "png" ? null : format,
    quality,
    background,
    frame,
    keep_exif: keepExif || null,
    sign: sign || null,
  };
}

/** The fields of the call, as text. */
export function fieldsOf({ model, scale, format, quality, background, frame, keepExif, sign }) {
  const given = { model, scale, format, quality, background, frame, keep_exif: keepExif || null, sign: sign || null };
  return Object.fromEntries(
    Object.entries(given)
      .filter(([, value]) => value !== null)
      .map(([name, value]) => [name, String(value)]),
  );
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
  const { model, scale, format, quality, background, frame, keepExif, sign } = settings;
  const image = fileOfForm(name);
  const named = pythonArguments({
    scale,
    background: background ?? undefined,
    format,
    quality: quality ?? undefined,
    frame: frame ?? undefined,
    keep_exif: keepExif || undefined,
    sign: sign || undefined,
  });
  const words = ["upscale", name, "--model", model, "--out", "enlarged", "--scale", scale, "--format", format];
  if (quality !== null) words.push("--quality", quality);
  if (background !== null) words.push("--background", background);
  if (frame !== null) words.push("--frame", frame);
  if (keepExif) words.push("--keep-exif");
  if (sign) words.push("--sign");
  return {
    curl: () => curlOf({ path: "v1/super-resolution", form: { ...fieldsOf(settings), image }, save: result, key }),
    Python: () =>
      [
        "from service.client import Client",
        "",
        `client = Client(${python(url)})`,
        `client.upscale(${python(model)}, ${python(name)}, ${named}).save(${python(result)})`,
      ].join("\n"),
    CLI: () => cliOf(words),
  };
}

/** What a file that is enlarged is called. */
export function resultName(name, scale, extension) {
  return `${name.replace(/\.[^.]*$/, "")}-${scale}x.${extension}`;
}

/** The sides of an enlarged picture, rounded as the server does. */
export function enlargedSize({ width, height }, scale) {
  return { width: Math.floor(width * scale + 0.5), height: Math.floor(height * scale + 0.5) };
}

function within(text, least, most) {
  const value = Number(text);
  return text && Number.isFinite(value) && value >= least && value <= most ? value : null;
}

function whole(text, least, most) {
  const value = within(text, least, most);
  return Number.isInteger(value) ? value : null;
}
