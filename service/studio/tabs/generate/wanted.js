/** What is asked for in Generate, from the URL and back. Made to fit the model, so that it can always be asked for. */

import { MAX_SEED, labelFor, labelsOf, transforms } from "../../core/generator.js";
import { parseSeeds, writeSeeds } from "../../core/seeds.js";

/**
 * @typedef {object} Wanted
 * @property {string} model
 * @property {number[]} seeds
 * @property {number} truncation
 * @property {number|null} truncation_cutoff layers that are truncated; null for all
 * @property {string|null} label
 * @property {"const"|"none"|number} noise
 * @property {number} rotation in degrees
 * @property {[number, number]} translation in sides of the picture
 */

const FIRST_SEEDS = "0-11";
export const MOST = 64; // as many as a server takes in one call unless its operator says otherwise

/**
 * What a URL asks for.
 *
 * @param {URLSearchParams} params
 * @param {object} card of the model
 * @returns {Wanted} with what the model does not have, or nobody can read, left at its default
 */
export function readWanted(params, card) {
  const wanted = {
    model: card.name,
    seeds: seedsOf(params.get("seeds") ?? FIRST_SEEDS),
    truncation: within(params.get("truncation"), -2, 2, 1),
    truncation_cutoff: params.has("cutoff") ? Math.round(within(params.get("cutoff"), 0, card.num_ws, card.num_ws)) : null,
    label: params.get("label"),
    noise: noiseOf(params.get("noise") ?? "const"),
    rotation: within(params.get("rotation"), -3600, 3600, 0),
    translation: movedBy(params.get("translation") ?? ""),
  };
  return fitted(wanted, card);
}

/** The same of another model, as far as that has it. */
export function fitted(wanted, card) {
  const cutoff = wanted.truncation_cutoff;
  return {
    ...wanted,
    model: card.name,
    label: labelsOf(card).length ? labelFor(card, wanted.label) : null,
    truncation_cutoff: cutoff === null || cutoff >= card.num_ws ? null : cutoff,
    rotation: transforms(card, "rotation") ? wanted.rotation : 0,
    translation: transforms(card, "translation") ? wanted.translation : [0, 0],
  };
}

/** For `view.replace`: model and seeds always, since defaults may be others tomorrow. */
export function viewOf(wanted) {
  const { model, seeds, truncation, truncation_cutoff, label, noise, rotation, translation } = wanted;
  return {
    model,
    seeds: writeSeeds(seeds),
    truncation: truncation === 1 ? null : truncation,
    cutoff: truncation_cutoff,
    label,
    noise: noise === "const" ? null : noise,
    rotation: rotation || null,
    translation: translation.some((part) => part !== 0) ? translation.join(",") : null,
  };
}

/** The recipe of one of its pictures. */
export function recipeOf({ seeds: _, ...shared }, seed) {
  return { ...shared, seed };
}

function seedsOf(text) {
  try {
    return parseSeeds(text, MOST);
  } catch {
    return parseSeeds(FIRST_SEEDS);
  }
}

function noiseOf(text) {
  if (text === "none" || text === "const") return text;
  return /^\d+$/.test(text) && Number(text) <= MAX_SEED ? Number(text) : "const";
}

function movedBy(text) {
  const parts = text.split(",").map((part) => within(part || null, -10, 10, 0));
  return parts.length === 2 ? parts : [0, 0];
}

function within(text, least, most, otherwise) {
  const value = Number(text);
  return text === null || !Number.isFinite(value) ? otherwise : Math.min(most, Math.max(least, value));
}
