/** What the figures of a card mean, and which of them are good. */

import { number } from "../../core/text.js";

const DIGITS = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

const EXPLAINED = {
  kid: {
    name: "KID",
    better: "lower",
    about: "Distance between the features of what the model makes and of held-out images.",
  },
  fid: {
    name: "FID",
    better: "lower",
    about: "Fréchet distance of the same features; the fewer images, the larger it comes out.",
  },
  precision: { name: "Precision", better: "higher", about: "Share of what is made that lies among real images." },
  recall: { name: "Recall", better: "higher", about: "Share of held-out images that could be made." },
  "path_length.full": {
    name: "Path length",
    better: "lower",
    about: "How much the picture changes along small steps between styles: smoothness.",
  },
  "path_length.end": {
    name: "Path length, ends",
    better: "lower",
    about: "The same, beside styles that are drawn rather than between them.",
  },
  "memorization.ratio": {
    name: "Distance to training images",
    better: "higher",
    about: "Of what is made to the nearest training image, over that of held-out images; well under 1 would be copies.",
  },
  "memorization.suspicious": {
    name: "Suspected copies",
    better: "lower",
    about: "Share of what is made that is nearer to a training image than 99 % of held-out images are.",
    format: (value) => `${number(value * 100)} %`,
  },
  psnr: {
    name: "PSNR",
    better: "higher",
    about: "How near pixels are to those they should be, in decibels.",
    unit: " dB",
  },
  psnr_y: {
    name: "PSNR of luma",
    better: "higher",
    about: "How near brightness is to what it should be, in decibels.",
    unit: " dB",
  },
  psnr_rgb: { name: "PSNR of RGB", better: "higher", about: "The same of all colours.", unit: " dB" },
  ssim: {
    name: "SSIM",
    better: "higher",
    about: "Likeness of structures to those that should be there; 1 is the same.",
  },
  ssim_y: {
    name: "SSIM of luma",
    better: "higher",
    about: "Likeness of structures to those that should be there; 1 is the same.",
  },
  ssim_rgb: { name: "SSIM of RGB", better: "higher", about: "The same of all colours." },
  l1: { name: "L1", better: "lower", about: "Mean difference of pixels, in levels of 0 to 255." },
  feature_distance: {
    name: "Feature distance",
    better: "lower",
    about: "How different a network sees the result and what it should be.",
  },
};

/** Numbers that say how a figure was made. */
const NO_FIGURES = /(^|\.)(scale|images|steps|searched|generated|held_out)$/;

/** What stands beside a figure so that it can be judged: endings of names in cards. */
const BESIDE = {
  real: "real images",
  untrained: "untrained",
  copy: "the input itself",
  constant: "best single colour",
  training_mean: "mean colour of the training",
  bicubic: "bicubic",
};

/**
 * @typedef {object} Figure
 * @property {string} id
 * @property {string} name
 * @property {string} text with its unit and spread
 * @property {"lower"|"higher"|null} better null where nobody has said
 * @property {string} about
 * @property {{name: string, text: string}[]} beside others with which to compare
 */

/**
 * The figures of a card, the most telling first. One that nobody has explained is shown by the name it has.
 *
 * @param {object} card
 * @returns {Figure[]}
 */
export function figuresOf(card) {
  const { scores, ...rest } = card.metrics ?? {};
  const flat = new Map([...flattened(scores ?? {}), ...flattened(rest)]);
  const figures = [];
  for (const [id, value] of flat) {
    if (asideOf(id) !== null || NO_FIGURES.test(id)) continue;
    const known = EXPLAINED[id] ?? { name: id.replaceAll(/[._]/g, " "), better: null, about: "" };
    figures.push({ ...known, id, text: written(known, value), beside: besideOf(id, known, flat, card.metrics) });
  }
  return figures.sort((a, b) => rank(a.id) - rank(b.id));
}

const ORDER = Object.keys(EXPLAINED);
const rank = (id) => (ORDER.includes(id) ? ORDER.indexOf(id) : ORDER.length);

/** The figure that says most of a model of its kind. */
export function headlineOf(card) {
  const wanted = { generator: "kid", translator: "psnr", upscaler: "psnr_y" }[card.kind];
  const figures = figuresOf(card);
  return figures.find(({ id }) => id === wanted) ?? figures[0] ?? null;
}

/** Numbers, and pairs of mean and deviation, by their path. */
function flattened(given, path = "") {
  return Object.entries(given).flatMap(([name, value]) => {
    const id = path ? `${path}.${name}` : name;
    if (typeof value === "number") return [[id, { mean: value }]];
    if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
    return typeof value.mean === "number" ? [[id, value]] : flattened(value, id);
  });
}

/** Of what a figure is, if not of the model: "real" of "kid_real", "bicubic" of "scores_bicubic.ssim_y". */
function asideOf(id) {
  if (id.startsWith("scores_")) return id.slice("scores_".length).split(".")[0];
  return Object.keys(BESIDE).find((ending) => id.endsWith(`_${ending}`)) ?? null;
}

function besideOf(id, known, flat, metrics) {
  const found = [];
  for (const [ending, name] of Object.entries(BESIDE)) {
    const value = flat.get(`${id}_${ending}`) ?? flat.get(`scores_${ending}.${id}`);
    if (value) found.push({ name, text: written(known, value) });
  }
  for (const [name, scores] of Object.entries(metrics.scores_against ?? {})) {
    if (typeof scores?.[id] === "number") found.push({ name, text: written(known, { mean: scores[id] }) });
  }
  return found;
}

function written({ format, unit = "" }, { mean, std }) {
  if (format) return format(mean);
  return `${DIGITS.format(mean)}${std === undefined ? "" : ` ± ${number(std)}`}${unit}`;
}
