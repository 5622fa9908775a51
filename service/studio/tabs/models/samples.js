/** What a model makes, drawn by the server now: seeds of a generator, or an example of what an upscaler is given. */

import { labelsOf } from "../../core/generator.js";
import { isAbort } from "../../core/problem.js";
import { sketch } from "./sketch.js";

export const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8];
const LARGE = 128; // from here on a lossless picture is a heavy one
const SOURCE_SEED = 3;

/**
 * What translators are given for an example, by the recipe of the data that they learnt from. One that is not listed
 * has no example: a picture of another kind would say nothing about it.
 */
const GIVEN = {
  "sketch-to-emoji": { sketch: true },
  "satellite-to-relief": { like: "terrain" },
  "satellite-relief-unpaired": { like: "terrain" },
};

/** Examples that were made, by `idOf`: a visit to another tab is no reason to ask again. */
const made = new Map();

/** A model as long as it has these weights; others may have the same. */
export const idOf = ({ name, digest }) => `${name} ${digest}`;

/**
 * @typedef {object} Sheet
 * @property {"waiting"|"there"|"failed"|"none"} state
 * @property {{blob: Blob, alt: string, href: string|null}[]} pictures
 * @property {string} caption how they were made
 * @property {import("../../core/problem.js").Problem} [problem]
 */

export class Samples {
  #sheets = new Map();

  /**
   * @param {object} options
   * @param {import("../../main.js").Studio} options.studio
   * @param {AbortSignal} options.signal
   * @param {() => void} options.update
   */
  constructor({ studio, signal, update }) {
    this.studio = studio;
    this.signal = signal;
    this.update = update;
  }

  /** @returns {Sheet} what there is of a model so far */
  of(card) {
    return this.#sheets.get(idOf(card)) ?? { state: "waiting", pictures: [], caption: "" };
  }

  /** Has it drawn, unless it is or was; `again` after it failed. */
  async draw(card, again = false) {
    const known = this.#sheets.get(idOf(card));
    if (card.state !== "READY" || (known && !(again && known.state === "failed"))) return;
    this.#set(card, { state: "waiting", pictures: [], caption: "" });
    try {
      const draw = card.kind === "generator" ? this.#generated(card) : this.#example(card);
      this.#set(card, await draw);
    } catch (problem) {
      if (isAbort(problem) || this.signal.aborted) return;
      this.#set(card, { state: "failed", pictures: [], caption: "", problem });
    }
  }

  #set(card, sheet) {
    this.#sheets.set(idOf(card), sheet);
    this.update();
  }

  /** The seeds of a generator; of one with classes, a class each. */
  async #generated(card) {
    const labels = labelsOf(card);
    const recipes = SEEDS.map((seed, place) => ({
      model: card.name,
      seed,
      ...(labels.length ? { label: labels[place % labels.length].value } : {}),
    }));
    const pictures = await Promise.all(recipes.map((recipe) => this.#picture(card, recipe)));
    return {
      state: "there",
      pictures: pictures.map((blob, place) => ({
        blob,
        alt: [`Seed ${recipes[place].seed}`, recipes[place].label].filter((part) => part !== undefined).join(", "),
        href: hrefOf(recipes[place]),
      })),
      caption: `Seeds ${SEEDS[0]} to ${SEEDS.at(-1)}${labels.length ? ", a class each" : ""}, drawn now`,
    };
  }

  async #picture(card, recipe) {
    const lossless = card.resolution <= LARGE;
    return (await this.studio.pictures.of(recipe, { digest: card.digest, lossless, signal: this.signal })).blob;
  }

  /** What goes into a translator or an upscaler, and what comes out. */
  async #example(card) {
    if (made.has(idOf(card))) return made.get(idOf(card));
    const source = await this.#source(card);
    if (source === null) return { state: "none", pictures: [], caption: "" };
    const body = new FormData();
    body.set("model", card.name);
    body.set("format", "png");
    body.set("image", source.blob, "source.png");
    const path = card.kind === "upscaler" ? "v1/super-resolution" : "v1/translate";
    const { blob } = await this.studio.api.blob(path, { body, signal: this.signal });
    const sheet = {
      state: "there",
      pictures: [
        { blob: source.blob, alt: `Given: ${source.name}`, href: null },
        { blob, alt: `Made of it by ${card.name}`, href: null },
      ],
      caption: `Made now, of ${source.name}`,
    };
    made.set(idOf(card), sheet);
    return sheet;
  }

  async #source(card) {
    const given = card.kind === "upscaler" ? { like: "terrain", any: true } : GIVEN[card.dataset?.recipe];
    if (!given) return null;
    if (given.sketch) return { blob: await sketch(card.resolution), name: "a drawing by this page" };
    const generators = this.studio.models.ofKind("generator");
    const model = generators.find(({ name }) => name === given.like) ?? (given.any ? generators[0] : undefined);
    if (!model) return given.any ? { blob: await sketch(64), name: "a drawing by this page" } : null;
    const blob = await this.#picture(model, { model: model.name, seed: SOURCE_SEED });
    return { blob, name: `a picture of ${model.name}, seed ${SOURCE_SEED}` };
  }
}

function hrefOf({ model, seed, label }) {
  const params = new URLSearchParams({ model, seeds: seed, ...(label === undefined ? {} : { label }) });
  return `#generate?${params}`;
}
