/** What a new job is asked to do: settings as text, as in the URL, and the request they make. */

import { MAX_SEED, labelFor, transforms } from "../../core/generator.js";

const MOST_LISTED = 10_000;
/** What jobs of each operation can be told besides their model; as in the URL. */
const OWN = {
  "super-resolution": ["scale", "background"],
  translate: ["fit", "restore", "alpha", "background"],
  generate: ["truncation", "noise", "label", "edits", "rotation", "translation"],
};
const IMAGES_ONLY = ["keep_exif"];
export const NAMES = [
  ...new Set([...Object.values(OWN).flat(), ...IMAGES_ONLY]),
  "op",
  "model",
  "seeds",
  "format",
  "quality",
  "sign",
  "priority",
  "naming",
  "title",
  "webhook",
];

/**
 * Seeds as people write them, as in `0-99,120`.
 *
 * @returns {{seeds: object|number[], count: number}|{fault: string}} as a request has them
 */
export function seedsFrom(text) {
  const ranges = [];
  for (const part of text.split(",").map((piece) => piece.trim())) {
    const [, first, last = first] = /^(\d+)(?:\s*-\s*(\d+))?$/.exec(part) ?? [];
    if (first === undefined)
      return {
        fault: part ? `“${part}” is neither a seed nor a range such as 0-99` : "Say which seeds, as in 0-99",
      };
    if (Number(last) < Number(first)) return { fault: `“${part}” runs backwards` };
    if (Number(last) > MAX_SEED) return { fault: `The largest seed is ${MAX_SEED}` };
    ranges.push([Number(first), Number(last)]);
  }
  const count = ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);
  if (ranges.length === 1) return { seeds: { first: ranges[0][0], count }, count };
  if (count > MOST_LISTED)
    return { fault: `Several ranges together are ${MOST_LISTED} seeds at most; one may be longer` };
  return {
    seeds: ranges.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, n) => first + n)),
    count,
  };
}

/**
 * The body of the request.
 *
 * @param {string} operation
 * @param {object} card of the model
 * @param {Record<string, string>} values by name
 * @param {string} secret of the webhook, which is in no URL
 */
export function requestFrom(operation, card, values, secret) {
  const body = { operation, model: card.name, parameters: parametersFrom(operation, card, values) };
  if (operation === "generate") body.seeds = seedsFrom(values.seeds ?? "").seeds;
  if (values.naming) body.naming = values.naming;
  if (values.priority && values.priority !== "normal") body.priority = values.priority;
  if (values.webhook) body.webhook = { url: values.webhook, ...(secret && { secret }) };
  if (values.title) body.metadata = { title: values.title };
  return body;
}

function parametersFrom(operation, card, values) {
  const parameters = {};
  const { format = "png", quality } = values;
  for (const name of [...OWN[operation], ...(operation === "generate" ? [] : IMAGES_ONLY)]) {
    const value = READ[name](values[name], card);
    if (value !== undefined) parameters[name] = value;
  }
  if (format !== "png") parameters.format = format;
  if (hasQuality(format, quality)) parameters.quality = Number(quality ?? 90);
  if (values.sign) parameters.sign = true;
  return parameters;
}

/** JPEG always has one; WebP without is lossless. */
export const hasQuality = (format, quality) =>
  format === "jpeg" || (format === "webp" && quality !== undefined && quality !== "");

/** Edits as in a URL, `direction-01:2,direction-03:-1`, as amounts by name; only those that the model has. */
export function editsFrom(text, card) {
  const names = new Set((card.directions ?? []).map(({ name }) => name));
  const pairs = (text ?? "")
    .split(",")
    .map((part) => part.split(":"))
    .map(([name, amount]) => [name, Number(amount)]);
  return Object.fromEntries(
    pairs.filter(([name, amount]) => names.has(name) && Number.isFinite(amount) && amount !== 0),
  );
}

/** The other way round. */
export const editsText = (edits) =>
  Object.entries(edits)
    .filter(([, amount]) => amount)
    .map((pair) => pair.join(":"))
    .join(",");

const given = (value) => value !== undefined && value !== "";
const truth = (value) => (given(value) ? true : undefined);
const READ = {
  scale: (value, { scale }) => (given(value) && Number(value) !== scale ? Number(value) : undefined),
  background: (value) => (/^#[0-9a-f]{6}$/i.test(value ?? "") ? value : undefined),
  fit: (value) => (given(value) && value !== "native" ? value : undefined),
  restore: truth,
  alpha: (value) => (given(value) && value !== "flatten" ? value : undefined),
  keep_exif: truth,
  truncation: (value) => (given(value) && Number(value) !== 1 ? Number(value) : undefined),
  noise: (value) => (!given(value) || value === "const" ? undefined : value === "none" ? value : Number(value)),
  label: (value, card) => {
    const label = labelFor(card, value);
    return label === null ? undefined : card.classes?.length ? label : Number(label);
  },
  edits: (value, card) => {
    const edits = editsFrom(value, card);
    return Object.keys(edits).length ? edits : undefined;
  },
  rotation: (value, card) => (transforms(card, "rotation") && Number(value) ? Number(value) : undefined),
  translation: (value, card) => {
    const moved = (value ?? "").split(",").map(Number);
    const whole = moved.length === 2 && moved.every(Number.isFinite) && moved.some(Boolean);
    return transforms(card, "translation") && whole ? moved : undefined;
  },
};
