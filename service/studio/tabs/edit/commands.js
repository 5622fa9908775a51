/** The picture on screen as commands. */

import { cliOf, curlOf, python, pythonArguments } from "../../core/copy-as.js";
import { bodyOf, fieldsOf, picturePath } from "../../core/generator.js";
import { ROOT } from "../../core/api.js";

/**
 * @param {object} recipe as it was drawn: of edited styles, the styles
 * @param {object} card of its generator
 * @param {boolean} key whether the server asks for one
 * @returns {Record<string, () => string>} for `copyAs`
 */
export function commandsOf(recipe, card, key) {
  const save = `${fileName(recipe)}.png`;
  if (recipe.ws) {
    return {
      curl: () => curlOf({ path: "v1/generate", json: bodyOf(recipe), accept: "image/png", save, key }),
      Python: () => pythonOfStyles(recipe, card, save),
    };
  }
  return {
    curl: () => curlOf({ path: picturePath(recipe, { format: "png" }), save, key }),
    Python: () => pythonOfSeed(recipe, save),
    CLI: () => cliOf(wordsOf(recipe)),
  };
}

/** What a file of the picture is called, without its extension. */
export function fileName({ model, seed, ws, edits }) {
  const amounts = Object.entries(edits ?? {}).filter(([, amount]) => amount !== 0);
  const edited = amounts.map(([name, amount]) => `-${name.replace(/[^\w-]+/g, "_")}${amount > 0 ? "+" : ""}${amount}`);
  return `${model}-${ws ? "mixture" : `seed${String(seed).padStart(4, "0")}`}${edited.join("")}`;
}

function pythonOfSeed(recipe, save) {
  const named = pythonArguments(fieldsOf(recipe));
  const words = [python(recipe.model), recipe.seed, ...(named ? [named] : [])].join(", ");
  return [
    "from service.client import Client",
    "",
    `client = Client(${python(server())})`,
    `client.image(${words}).save(${python(save)})`,
  ].join("\n");
}

function pythonOfStyles(recipe, card, save) {
  const named = pythonArguments(fieldsOf(recipe));
  return [
    "from base64 import b64decode",
    "",
    "from service.client import Client, Styles",
    "",
    `client = Client(${python(server())})`,
    `styles = Styles(b64decode(${python(recipe.ws)}), (${card.num_ws}, ${card.w_dim}))`,
    `client.generate(${python(recipe.model)}, ws=[styles]${named ? `, ${named}` : ""})[0].save(${python(save)})`,
  ].join("\n");
}

function wordsOf(recipe) {
  const { edits, rotation, translation, ...fields } = fieldsOf(recipe);
  const words = ["generate", "--model", recipe.model, "--seeds", recipe.seed];
  for (const [name, value] of Object.entries(fields)) words.push(`--${name.replaceAll("_", "-")}=${value}`);
  for (const [name, amount] of Object.entries(edits ?? {})) if (amount) words.push(`--edit=${name}=${amount}`);
  if (rotation) words.push(`--rotate=${rotation}`);
  if (translation) words.push(`--translate=${translation.join(",")}`);
  return [...words, "--out", "."];
}

const server = () => ROOT.href.replace(/\/$/, "");
