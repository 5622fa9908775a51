/** The path as parameters of the URL. */

import { keyOf } from "../../core/favourites.js";
import { recipeFrom, textOf } from "../../core/recipe-text.js";
import { DEFAULTS, EASINGS, keyframeOf } from "./path.js";
import { FILE, readFile } from "./file.js";

/** Longer addresses are cut off by chats and mail. */
const LONGEST = 6000;
const KEPT = "kept:";

/**
 * @param {import("./path.js").Path} path
 * @param {object} file see `file.js`
 * @param {import("../../core/favourites.js").Favourite[]} favourites of the model
 * @returns {{values: object, elsewhere: number[], lost: number[]}} parameters, and the places of keyframes that are too
 *   long for them: those that are kept as favourites are named by them, so that they come back in this browser only
 */
export function writeAddress(path, file, favourites) {
  const { keyframes, model } = path;
  const texts = keyframes.map(({ recipe }) => textOf(recipe));
  const [elsewhere, lost] = [[], []];
  const byLength = [...texts.keys()].sort((one, other) => texts[other].length - texts[one].length);
  for (const index of byLength) {
    if (texts.reduce((sum, text) => sum + text.length + 1, 0) <= LONGEST || !keyframes[index].recipe.ws) break;
    const name = nameOf(keyframes[index].recipe);
    const kept = favourites.some((favourite) => nameOf(favourite) === name);
    texts[index] = kept ? KEPT + name : "";
    (kept ? elsewhere : lost).push(index);
  }
  const said = (given, defaults) => {
    const names = Object.keys(defaults);
    return Object.fromEntries(names.map((name) => [name, given[name] === defaults[name] ? null : given[name]]));
  };
  const { loop, ...rest } = said(path, DEFAULTS);
  const named = texts.filter(Boolean).join(",");
  const values = { model, keyframes: named, ...rest, loop: loop ? 1 : null, ...said(file, FILE) };
  return { values, elsewhere, lost };
}

/**
 * @param {URLSearchParams} params
 * @param {object} options
 * @param {string} options.model
 * @param {number} options.most frames
 * @param {import("../../core/favourites.js").Favourite[]} options.favourites of the model
 * @returns {{path: import("./path.js").Path, file: object, unread: string[]}} `unread`: what nothing here makes
 */
export function readAddress(params, { model, most, favourites }) {
  const unread = [];
  const keyframes = [];
  for (const text of (params.get("keyframes") ?? "").split(",").filter(Boolean)) {
    const recipe = text.startsWith(KEPT)
      ? favourites.find((favourite) => nameOf(favourite) === text.slice(KEPT.length))
      : recipeFrom(text);
    if (recipe) keyframes.push(keyframeOf(recipe, model));
    else unread.push(text.slice(0, 40));
  }
  const frames = Math.round(within(params.get("frames"), 2, most, DEFAULTS.frames));
  const fps = within(params.get("fps"), 1, 60, DEFAULTS.fps);
  const space = params.get("space") === "z" ? "z" : "w";
  const easing = EASINGS.find((name) => name === params.get("easing")) ?? DEFAULTS.easing;
  const loop = ["1", "true"].includes(params.get("loop"));
  const path = { model, keyframes, frames, space, easing, loop, fps, noise: noiseFrom(params.get("noise")) };
  return { path, file: readFile(params), unread };
}

function noiseFrom(text) {
  if (text === "none") return "none";
  return /^\d{1,10}$/.test(text ?? "") && Number(text) < 2 ** 32 ? Number(text) : DEFAULTS.noise;
}

function within(text, least, most, otherwise) {
  const value = Number(text);
  return text !== null && Number.isFinite(value) ? Math.min(most, Math.max(least, value)) : otherwise;
}

/** A short name of what a favourite looks like (FNV-1a, twice, so that two hardly ever have the same). */
function nameOf(recipe) {
  const text = keyOf({ ...recipe, noise: "const", title: undefined });
  const hash = (from) => {
    let value = from;
    for (let index = 0; index < text.length; index++) value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
    return (value >>> 0).toString(36);
  };
  return hash(0x811c9dc5) + hash(0x2545f491);
}
