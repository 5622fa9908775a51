/** What is on screen as commands. */

import { cliOf, curlOf, python, pythonArguments } from "../../core/copy-as.js";
import { ROOT } from "../../core/api.js";
import { bodyOf, fieldsOf, picturePath } from "../../core/generator.js";
import { isRun, writeSeeds } from "../../core/seeds.js";

const SERVER = ROOT.href.replace(/\/$/, "");
const EXTENSIONS = { png: "png", jpeg: "jpg", webp: "webp" };
export const extension = (format) => EXTENSIONS[format];

/**
 * Of all pictures: an archive by curl, files by the others.
 *
 * @param {import("./wanted.js").Wanted} wanted
 * @param {"png"|"jpeg"|"webp"} format
 * @param {boolean} key whether the server wants one
 */
export function commandsOfAll(wanted, format, key) {
  const { model, seeds } = wanted;
  const json = { ...bodyOf(wanted, seeds), ...formatOf(format) };
  const many = isRun(seeds) ? `range(${seeds[0]}, ${seeds.at(-1) + 1})` : python(seeds);
  return {
    curl: () => curlOf({ path: "v1/generate", json, accept: "application/zip", save: `${model}.zip`, key }),
    Python: () =>
      [
        "from service.client import Client",
        "",
        `with Client(${python(SERVER)}) as client:`,
        `    images = client.generate(${[python(model), many, options(wanted, format)].filter(Boolean).join(", ")})`,
        "for image in images:",
        `    image.save(f"${model}-{image.seed}.${extension(format)}")`,
      ].join("\n"),
    CLI: () => commandLine(wanted, writeSeeds(seeds), format),
  };
}

/** Of one picture: the file itself. */
export function commandsOfOne(recipe, format, key) {
  const { model, seed } = recipe;
  const name = `${model}-${seed}.${extension(format)}`;
  const path = picturePath(recipe, { format: extension(format) });
  return {
    curl: () => curlOf({ path, save: name, key }),
    Python: () =>
      [
        "from service.client import Client",
        "",
        `with Client(${python(SERVER)}) as client:`,
        `    image = client.image(${[python(model), seed, options(recipe, format)].filter(Boolean).join(", ")})`,
        `image.save(${python(name)})`,
      ].join("\n"),
    CLI: () => commandLine(recipe, String(seed), format),
  };
}

const formatOf = (format) => (format === "png" ? {} : { format });

const options = (recipe, format) => pythonArguments({ ...fieldsOf(recipe), ...formatOf(format) });

function commandLine(recipe, seeds, format) {
  const { truncation, truncation_cutoff, noise, label, rotation, translation, edits } = fieldsOf(recipe);
  // With "=", since a value may begin with "-".
  const given = {
    truncation,
    "truncation-cutoff": truncation_cutoff,
    noise,
    label,
    rotate: rotation,
    translate: translation?.join(","),
    format: formatOf(format).format,
  };
  const words = ["generate", "--model", recipe.model, "--seeds", seeds];
  for (const [name, value] of Object.entries(given)) if (value !== undefined) words.push(`--${name}=${value}`);
  for (const [name, amount] of Object.entries(edits ?? {})) words.push(`--edit=${name}=${amount}`);
  return cliOf([...words, "--out", recipe.model]);
}
