/** The grid on screen as commands. */

import { cliOf, curlOf, python, pythonArguments } from "../../core/copy-as.js";
import { ROOT } from "../../core/api.js";
import { writeSeeds } from "../../core/seeds.js";
import { layersText, layersValue } from "./layers.js";
import { bodyOf } from "./setting.js";

/**
 * @param {import("./setting.js").Setting} setting
 * @param {boolean} captions whether seeds are written under the pictures
 * @param {boolean} key whether the server asks for one
 * @returns {Record<string, () => string>} for `copyAs`; the command line takes seeds of one class only
 */
export function commandsOf(setting, captions, key) {
  const save = `${fileName(setting)}.png`;
  const json = { ...bodyOf(setting), ...(captions ? { captions } : {}) };
  const commands = {
    curl: () => curlOf({ path: "v1/style-mix", json, accept: "image/png", save, key }),
    Python: () => pythonOf(setting, captions, save),
  };
  const seedsOnly = [...json.rows, ...json.columns].every((source) => typeof source === "number");
  if (seedsOnly) commands.CLI = () => cliOf(wordsOf(setting, captions, save));
  return commands;
}

/** What a file of the grid is called, without its extension. */
export function fileName({ card, layers }) {
  return `${card.name}-mix-${layersText(layers, card).replaceAll(",", "-")}`;
}

function pythonOf(setting, captions, save) {
  const { model, rows, columns, layers, truncation, label } = bodyOf(setting);
  const source = (one) => pythonSource(one, setting.card);
  const list = (sources) => `[${sources.map(source).join(", ")}]`;
  const named = pythonArguments({ layers, truncation, label, captions: captions || undefined });
  const objects = [...rows, ...columns].filter((one) => typeof one === "object");
  const names = ["Client"];
  if (objects.length) names.push("Latent");
  if (objects.some(({ ws }) => ws)) names.push("Styles");
  return [
    ...(names.includes("Styles") ? ["from base64 import b64decode", ""] : []),
    `from service.client import ${names.join(", ")}`,
    "",
    `with Client(${python(ROOT.href.replace(/\/$/, ""))}) as client:`,
    `    grid = client.style_mix(${python(model)}, ${list(rows)}, ${list(columns)}, ${named})`,
    `grid.save(${python(save)})`,
  ].join("\n");
}

function pythonSource(source, card) {
  if (typeof source === "number") return String(source);
  const { ws, ...fields } = source;
  if (ws) return `Latent(ws=Styles(b64decode(${python(ws)}), (${card.num_ws}, ${card.w_dim})))`;
  return `Latent(${pythonArguments(fields)})`;
}

function wordsOf(setting, captions, save) {
  const { model, rows, columns, truncation, label } = bodyOf(setting);
  const { card } = setting;
  const layers = [layersValue(setting.layers, card)].flat().join(",");
  const crossed = ["--rows", writeSeeds(rows), "--columns", writeSeeds(columns)];
  const words = ["mix", "--model", model, ...crossed, "--layers", layers];
  if (truncation !== undefined) words.push(`--truncation=${truncation}`);
  if (label !== undefined) words.push(`--label=${label}`);
  if (captions) words.push("--captions");
  return [...words, "--out", save];
}
