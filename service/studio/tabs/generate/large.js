/** One picture of the gallery, large: the very pixels, what made them, and what can be done with it. */

import { copyAs } from "../../components/copy-as.js";
import { closePicture, openPicture } from "../../components/picture.js";
import { download } from "../../core/files.js";
import { bodyOf, describe, favouriteOf, fieldsOf, picturePath } from "../../core/generator.js";
import { html, nothing } from "../../core/lit.js";
import { isAbort } from "../../core/problem.js";
import { number } from "../../core/text.js";
import { commandsOfOne, extension } from "./commands.js";
import { formatChoice } from "./format-choice.js";

export class Large {
  #shown = null; // {recipe, picture, all, use}
  #problem = "";
  #asking = new AbortController();

  /**
   * @param {object} options
   * @param {import("../../core/tab.js").Tab} options.tab
   * @param {() => object} options.card
   * @param {{value: string}} options.format of files, shared with the gallery
   * @param {(recipe: object|null) => void} options.opened told what is open, null for nothing
   */
  constructor({ tab, card, format, opened }) {
    Object.assign(this, { tab, card, format, opened });
  }

  /**
   * Shows a picture: at first as the gallery has it, then without loss.
   *
   * @param {object} recipe
   * @param {object[]} all recipes, of which the arrow keys show the one before and the one after
   * @param {(recipe: object) => void} [use] takes over its settings
   */
  async open(recipe, all, use) {
    const { pictures } = this.tab.studio;
    const { digest } = this.card();
    this.#asking.abort();
    this.#asking = new AbortController();
    const signal = AbortSignal.any([this.tab.signal, this.#asking.signal]);
    this.#problem = "";
    const known = pictures.known(recipe, { digest, lossless: true }) ?? pictures.known(recipe, { digest });
    this.#shown = { recipe, all, use, picture: known ?? null };
    this.draw();
    this.opened(recipe);
    await this.#attempt(async () => {
      const picture = await pictures.of(recipe, { signal, digest, lossless: true, atOnce: true });
      this.#shown = { recipe, all, use, picture };
      this.draw();
    });
  }

  /** Draws it anew, as after it was kept. */
  draw() {
    if (this.#shown === null || this.#shown.picture === null) return;
    const { recipe, picture } = this.#shown;
    openPicture({
      blob: picture.blob,
      title: describe(recipe),
      name: this.#name(recipe),
      more: html`${this.#trouble()}${facts(recipe, picture, this.card())}${this.#commands(recipe)}`,
      actions: this.#actions(),
      ...this.#neighbours(),
      closed: () => {
        this.#asking.abort();
        this.#shown = null;
        this.opened(null);
      },
    });
  }

  #neighbours() {
    const { recipe, all, use } = this.#shown;
    const place = all.indexOf(recipe);
    const to = (other) => (other ? () => this.open(other, all, use) : undefined);
    return { previous: to(all[place - 1]), next: to(all[place + 1]) };
  }

  #actions() {
    const { recipe, use } = this.#shown;
    const { favourites } = this.tab.studio;
    const favourite = favouriteOf(recipe, this.card().digest);
    const kept = favourites.has(favourite);
    const keep = () => {
      favourites.toggle(favourite);
      this.draw();
    };
    const taken = () => {
      closePicture();
      use(recipe);
    };
    return html`<button type="button" class="primary" id="save" @click=${() => this.#save(recipe)}>Download</button>
      ${formatChoice("picture-format", this.format, () => this.#formatChanged())}
      <button type="button" id="keep" aria-pressed=${String(kept)} @click=${keep}>${kept ? "♥ Kept" : "♡ Keep"}</button>
      ${use && !recipe.ws ? html`<button type="button" @click=${taken}>Use its settings</button>` : nothing}`;
  }

  #formatChanged() {
    this.draw();
    this.tab.update();
  }

  async #save(recipe) {
    const { api } = this.tab.studio;
    const { signal } = this.tab;
    const format = this.format.value;
    await this.#attempt(async () => {
      const { blob } = recipe.ws
        ? await api.blob("v1/generate", { json: { ...bodyOf(recipe), format }, accept: `image/${format}`, signal })
        : await api.blob(picturePath(recipe, { format: extension(format), digest: this.card().digest }), { signal });
      download(blob, this.#name(recipe));
    });
  }

  #name({ model, seed, title }) {
    return `${model}-${seed ?? title ?? "mixture"}.${extension(this.format.value)}`;
  }

  #commands(recipe) {
    if (recipe.ws) return nothing; // thousands of numbers
    const { studio } = this.tab;
    return copyAs({
      commands: commandsOfOne(recipe, this.format.value, studio.api.hasKey),
      announce: (text) => studio.announce(text),
    });
  }

  #trouble() {
    return this.#problem ? html`<p class="notice bad" role="alert">${this.#problem}</p>` : nothing;
  }

  async #attempt(work) {
    try {
      await work();
    } catch (problem) {
      if (isAbort(problem)) return;
      if (this.#shown === null) {
        this.tab.fail(problem);
        return;
      }
      this.#problem = `${problem.title ?? "This page has a fault"}. ${problem.detail ?? problem.message}`;
      this.draw();
    }
  }
}

function facts(recipe, picture, card) {
  const { truncation_cutoff, label, edits, noise, rotation, translation } = fieldsOf(recipe);
  const layers = truncation_cutoff === undefined ? "" : `, ${truncation_cutoff} layers`;
  const rows = {
    Model: html`${recipe.model}, version ${card.version}`,
    Seed: recipe.seed,
    "Truncation ψ": recipe.ws ? undefined : `${number(recipe.truncation ?? 1)}${layers}`,
    Class: label,
    Edits: edits && Object.entries(edits).map(([name, amount]) => `${name} ${number(amount)}`).join(", "),
    Noise: noise,
    Turned: rotation === undefined ? undefined : `${number(rotation)}°`,
    Moved: translation?.map(number).join(", "),
    Size: card.resolution ? `${card.resolution} × ${card.resolution} pixels` : undefined,
    "Model digest": html`<code>${picture.digest}</code>`,
    "Pixels SHA-256": html`<code id="pixels-sha256">${picture.sha256}</code>`,
  };
  return html`<dl class="facts">
    ${Object.entries(rows).map(([name, value]) => (value === undefined ? nothing : html`<dt>${name}</dt><dd>${value}</dd>`))}
  </dl>`;
}
