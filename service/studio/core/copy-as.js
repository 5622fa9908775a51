/** Calls as text that can be pasted into a shell: the very call, so that it makes the very same image. */

import { ROOT } from "./api.js";

/** A word of a POSIX shell. */
export function quoted(word) {
  const text = String(word);
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * The curl command of a call.
 *
 * @param {object} call
 * @param {string} call.path below the server's root
 * @param {object} [call.json] its body
 * @param {Record<string, string|number|string[]>} [call.form] fields of a multipart body; "@name.png" sends a file,
 *   a list several
 * @param {string} [call.accept]
 * @param {Record<string, string>} [call.headers]
 * @param {string} [call.method]
 * @param {string} [call.save] name of the file to write
 * @param {boolean} [call.key] whether the server asks for a key: it is read from GANSERVE_API_KEY, never written
 */
export function curlOf({ path, json, form, accept, headers, method, save, key }) {
  const words = ["curl", "--fail-with-body"];
  if (method && method !== "GET") words.push("-X", method);
  words.push(quoted(new URL(path, ROOT).href));
  if (key) words.push("-H", '"authorization: Bearer $GANSERVE_API_KEY"');
  if (accept) words.push("-H", quoted(`accept: ${accept}`));
  for (const [name, value] of Object.entries(headers ?? {})) words.push("-H", quoted(`${name}: ${value}`));
  if (json !== undefined) words.push("-H", quoted("content-type: application/json"), "-d", quoted(JSON.stringify(json)));
  for (const [name, given] of Object.entries(form ?? {})) {
    for (const value of [given].flat()) words.push("-F", quoted(`${name}=${value}`));
  }
  if (save) words.push("-o", quoted(save));
  return words.join(" ");
}

/** A file as a field of curl's `-F`; what has a meaning there is quoted. */
export function fileOfForm(name) {
  return /[;,"\\]/.test(name) ? `@"${name.replace(/["\\]/g, "\\$&")}"` : `@${name}`;
}

/**
 * A command of the command line.
 *
 * @param {(string|number)[]} words after `ganserve`
 */
export function cliOf(words) {
  return ["ganserve", ...words.map(quoted), "--url", quoted(ROOT.href.replace(/\/$/, ""))].join(" ");
}

/** A value as Python writes it. */
export function python(value) {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([name, item]) => `${python(name)}: ${python(item)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}

/** Named arguments as Python writes them; those that are undefined are left out. */
export function pythonArguments(named) {
  return Object.entries(named)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${python(value)}`)
    .join(", ");
}
