/** What was asked, as commands. */

import { ROOT } from "../../core/api.js";
import { cliOf, curlOf, fileOfForm, python } from "../../core/copy-as.js";

/**
 * @param {import("./check.js").Check} check
 * @param {boolean} again whether the picture is made again
 * @param {boolean} key whether the server asks for a key
 */
export function commandsOf({ file, source }, again, key) {
  const form = { image: fileOfForm(file.name) };
  if (again) form.reproduce = "true";
  if (source) form.source = fileOfForm(source.name);
  const options = again ? ", reproduce=True" : "";
  const from = source ? `, source=${python(source.name)}` : "";
  const words = ["verify", file.name];
  if (again) words.push("--reproduce");
  if (source) words.push("--source", source.name);
  return {
    curl: () => curlOf({ path: "v1/verify", form, key }),
    Python: () =>
      [
        "from service.client import Client",
        "",
        `client = Client(${python(ROOT.href.replace(/\/$/, ""))})`,
        `found = client.verify(${python(file.name)}${options}${from})`,
        "print(found.verdict, found.explanation)",
      ].join("\n"),
    CLI: () => cliOf(words),
  };
}
