/** The file that the frames become. */

import { DEFAULTS, bodyOf } from "./path.js";

/**
 * @typedef {object} File
 * @property {"webp"|"gif"|"apng"|"mp4"|"zip"|"sheet"} format
 * @property {"png"|"jpeg"|"webp"} frame_format of single frames, in archives and filmstrips
 * @property {number|null} quality 1 to 100; null for no loss, or the format's own
 */

/** What is left out where it is this. */
export const FILE = { format: "webp", frame_format: "png", quality: null };
export const FORMATS = {
  webp: { text: "WebP", extension: "webp", lossy: true },
  gif: { text: "GIF, 256 colours", extension: "gif", lossy: false },
  apng: { text: "APNG, without loss", extension: "png", lossy: false },
  mp4: { text: "MP4", extension: "mp4", lossy: true },
  zip: { text: "Single frames (zip)", extension: "zip", lossy: false },
  sheet: { text: "Filmstrip", extension: "", lossy: false },
};
export const FRAME_FORMATS = { png: "PNG", webp: "WebP", jpeg: "JPEG" };
const EXTENSIONS = { png: "png", jpeg: "jpg", webp: "webp" };

/** Whether its frames are files, or pictures, of a format of their own. */
export const hasFrames = ({ format }) => format === "zip" || format === "sheet";

/** Whether `quality` means something. */
export const hasQuality = (file) => (hasFrames(file) ? file.frame_format !== "png" : FORMATS[file.format].lossy);

/** @param {URLSearchParams} params */
export function readFile(params) {
  const one = (name, known) => (params.get(name) in known ? params.get(name) : FILE[name]);
  const quality = Number(params.get("quality"));
  const given = Number.isInteger(quality) && quality >= 1 && quality <= 100;
  const [format, frameFormat] = [one("format", FORMATS), one("frame_format", FRAME_FORMATS)];
  return { format, frame_format: frameFormat, quality: given ? quality : null };
}

/** What of it is said in calls: nothing that means nothing, since the API refuses that. */
export function fieldsOf(file) {
  return {
    format: file.format,
    ...(hasFrames(file) ? { frame_format: file.frame_format } : {}),
    ...(hasQuality(file) && file.quality !== null ? { quality: file.quality } : {}),
  };
}

/** The body of the call that makes it. */
export function fileBody(path, file) {
  return { ...bodyOf(path), ...(path.fps === DEFAULTS.fps ? {} : { fps: path.fps }), ...fieldsOf(file) };
}

/** What it is called: the model and the first keyframes. */
export function fileName({ model, keyframes }, file) {
  const names = keyframes.slice(0, 4).map(({ recipe }) => (recipe.ws ? "mixture" : recipe.seed));
  const more = keyframes.length > names.length ? ["and-more"] : [];
  const extension = file.format === "sheet" ? EXTENSIONS[file.frame_format] : FORMATS[file.format].extension;
  return `${[model, ...names, ...more].join("-")}.${extension}`;
}
