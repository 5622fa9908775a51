/** The file as commands: each makes the very same one. */

import { ROOT } from "../../core/api.js";
import { cliOf, curlOf, python, pythonArguments } from "../../core/copy-as.js";
import { fieldsOf, fileBody, fileName } from "./file.js";
import { DEFAULTS, sourcesOf } from "./path.js";

/**
 * @param {import("./path.js").Path} path
 * @param {object} file see `file.js`
 * @param {object} card of the model
 * @param {object} options
 * @param {boolean} options.key whether the server wants one
 * @param {number} [options.wait] seconds, where the server's own limit may be too short
 * @returns {Record<string, () => string>} for `copyAs`
 */
export function commandsOf(path, file, card, { key, wait }) {
  return {
    curl: () => curlOfPath(path, file, key, wait),
    Python: () => pythonOf(path, file, card, wait),
    CLI: () => commandLine(path, file, wait),
  };
}

function curlOfPath(path, file, key, wait) {
  const headers = wait ? { prefer: `wait=${wait}` } : {};
  return curlOf({ path: "v1/interpolate", json: fileBody(path, file), headers, save: fileName(path, file), key });
}

function settingsOf(path) {
  const said = ["space", "easing", "loop", "fps", "noise"].filter((name) => path[name] !== DEFAULTS[name]);
  return { frames: path.frames, ...Object.fromEntries(said.map((name) => [name, path[name]])) };
}

function pythonOf(path, file, card, wait) {
  const { keyframes, shared } = sourcesOf(path);
  const latents = keyframes.map((source) => (typeof source === "number" ? String(source) : latentOf(source, card)));
  const names = ["Client", ...(latents.some((text) => text.startsWith("Latent")) ? ["Latent"] : [])];
  const styles = keyframes.some((source) => source.ws);
  const named = pythonArguments({ ...settingsOf(path), ...shared, ...fieldsOf(file), wait });
  return [
    ...(styles ? ["from base64 import b64decode", ""] : []),
    `from service.client import ${[...names, ...(styles ? ["Styles"] : [])].join(", ")}`,
    "",
    `with Client(${python(ROOT.href.replace(/\/$/, ""))}) as client:`,
    `    keyframes = [${latents.join(", ")}]`,
    `    file = client.interpolate(${python(path.model)}, keyframes, ${named})`,
    `file.save(${python(fileName(path, file))})`,
  ].join("\n");
}

function latentOf({ ws, ...fields }, card) {
  const styles = ws ? [`ws=Styles(b64decode(${python(ws)}), (${card.num_ws}, ${card.w_dim}))`] : [];
  const named = pythonArguments(fields);
  return `Latent(${[...styles, ...(named ? [named] : [])].join(", ")})`;
}

function commandLine(path, file, wait) {
  const { keyframes, shared } = sourcesOf(path);
  const plain = keyframes.every((source) => typeof source === "number");
  const { rotation, translation, truncation_cutoff, edits, ...common } = plain ? shared : {};
  const { format, frame_format, quality } = fieldsOf(file);
  const { loop, ...settings } = settingsOf(path);
  const given = {
    keyframes: plain ? keyframes.join(",") : JSON.stringify(sourcesOf(path, false).keyframes),
    ...settings,
    ...common,
    "truncation-cutoff": truncation_cutoff,
    rotate: rotation,
    translate: translation?.join(","),
    "frame-format": format === "zip" ? frame_format : undefined,
    quality,
    wait,
  };
  const words = ["interpolate", "--model", path.model];
  // With "=", since a value may begin with "-".
  for (const [name, value] of Object.entries(given)) if (value !== undefined) words.push(`--${name}=${value}`);
  for (const [name, amount] of Object.entries(edits ?? {})) if (amount) words.push(`--edit=${name}=${amount}`);
  if (loop) words.push("--loop");
  if (format === "sheet") words.push("--sheet");
  return cliOf([...words, "--out", fileName(path, file)]);
}
