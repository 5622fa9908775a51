/** Edit: a slider for each direction of a generator, live, and how the picture was before. */

import { html, nothing } from "../../core/lit.js";
import { BlobUrls, download } from "../../core/files.js";
import { MAX_SEED, bodyOf, describe, favouriteOf, labelFor, labelsOf, preferred } from "../../core/generator.js";
import { Latest } from "../../core/latest.js";
import { Problem } from "../../core/problem.js";
import { Tab } from "../../core/tab.js";
import { choice, modelChoice, numberField, slider, working } from "../../components/controls.js";
import { copyAs } from "../../components/copy-as.js";
import { FavouritesStrip } from "../../components/favourites-strip.js";
import { empty } from "../../components/notice.js";
import { commandsOf, fileName } from "./commands.js";
import { compare, holdButton } from "./compare.js";
import { directions, noDirections, RANGES } from "./directions.js";
import { Ends } from "./ends.js";
import { fitting, isEdited, named, paramsOf, readRecipe, titleOf, unedited } from "./recipe.js";
import { Vectors } from "./vectors.js";

const LOSSLESS_LIVE = 256; // pixels of a side; beyond, lossless files take longer than the picture

export default class Edit extends Tab {
  static styles = ["tab.css"];
  #card = null;
  #recipe = null;
  #shown = null; // {recipe, before, after}: what is on screen
  #beside = false;
  #held = null; // "pointer" or "key" while the picture before is held
  #range = RANGES[0];
  #undo = null;
  #trouble = null; // of pictures, which one that arrives ends
  #urls = new BlobUrls();
  #strip = new FavouritesStrip(this);
  #vectors = new Vectors(this.studio.api);
  #ends = new Ends(this, this.#vectors);
  #paint = new Latest((recipe, signal) => this.#draw(recipe, signal), (error) => this.#failed(error));

  async start() {
    this.on(this.studio.favourites, "change", () => this.update());
    this.on(this.studio.models, "change", () => this.#modelsChanged());
    this.on(this.studio.connection, "back", () => this.#want());
    for (const name of ["pointerup", "pointercancel"]) this.on(window, name, () => this.#release("pointer"));
    this.on(window, "blur", () => this.#release(this.#held));
    await this.studio.models.ready(this.signal);
    this.changed();
  }

  changed() {
    this.view.forget();
    const { params } = this.view;
    const cards = this.studio.models.ofKind("generator");
    this.#card = cards.find(({ name }) => name === params.get("model")) ?? preferred(cards) ?? null;
    if (this.#card === null) return this.update();
    const asked = params.get("model") ?? this.#card.name;
    if (asked !== this.#card.name) this.#missing(asked, this.#card.name);
    this.#recipe = named(readRecipe(params, this.#card), this.studio.favourites.of(this.#card.name));
    this.#beside = params.get("view") === "beside";
    const farthest = Math.max(0, ...Object.values(this.#recipe.edits).map(Math.abs));
    this.#range = RANGES.find((range) => range >= Math.max(Number(params.get("range")), farthest)) ?? RANGES.at(-1);
    this.#want();
  }

  /** Other models, or other weights: what is edited stays. */
  #modelsChanged() {
    if (this.#recipe === null) return this.changed();
    const card = this.studio.models.ofKind("generator").find(({ name }) => name === this.#recipe.model);
    if (!card) return this.#missing(this.#recipe.model);
    this.#card = card;
    this.#change({});
  }

  #missing(name, instead) {
    const detail = instead ? `This is ${instead}.` : "It may have been unloaded; choose another, or wait for it.";
    this.fail(new Problem({ title: `There is no generator “${name}” now`, detail }));
  }

  #failed(error) {
    this.fail(error);
    this.#trouble = this.problem;
    if (error.slug === "digest-mismatch") this.attempt(() => this.studio.models.load(this.signal));
  }

  stop() {
    super.stop();
    this.view.forget();
    this.#paint.stop();
    this.#urls.clear();
  }

  /** Another picture, or another look of it. */
  #change(fields, undo = null) {
    this.#recipe = fitting({ ...this.#recipe, ...fields }, this.#card);
    this.#undo = undo;
    this.#want();
  }

  #edit(name, amount) {
    this.#change({ edits: { ...this.#recipe.edits, [name]: amount } });
  }

  #reset() {
    this.#change({ edits: {} }, this.#recipe.edits);
    this.studio.announce("All directions are reset");
  }

  #want() {
    if (!this.#recipe) return;
    const range = this.#range === RANGES[0] ? null : this.#range;
    this.view.replaceSoon({ ...paramsOf(this.#recipe), view: this.#beside ? "beside" : null, range });
    if (this.#card.directions?.length) this.#paint.want(this.#recipe);
    this.update();
  }

  async #draw(recipe, signal) {
    const card = this.#card;
    const options = { signal, digest: card.digest, lossless: card.resolution <= LOSSLESS_LIVE, atOnce: true };
    const drawable = await this.#vectors.drawable(recipe, card, signal);
    const after = await this.studio.pictures.of(drawable, options);
    const kept = this.#shown && this.#shown.of === sourceOf(recipe) ? this.#shown.before : null;
    this.#shown = { of: sourceOf(recipe), recipe: drawable, after, before: isEdited(recipe) ? kept : after };
    if (this.problem === this.#trouble) this.clearProblem();
    this.update();
    if (this.#shown.before === null) {
      this.#shown.before = await this.studio.pictures.of(unedited(recipe), options);
      this.update();
    }
    if (!this.#paint.outdated) this.#ends.want(recipe, this.#range, card);
  }

  #hold(how) {
    this.#held = how;
    this.update();
  }

  /** A press on the picture takes the focus from the button, which lets go of its key alone. */
  #release(how) {
    if (this.#held !== how || how === null) return;
    this.#held = null;
    this.update();
  }

  async #open(name) {
    this.#card = this.studio.models.named(name);
    this.#shown = null;
    const { seed = 1, truncation } = this.#recipe;
    this.#recipe = fitting({ seed, truncation, label: labelFor(this.#card, this.#recipe.label) }, this.#card);
    this.#want();
  }

  #start = ({ digest: _, ...recipe }) => {
    this.#recipe = { truncation: 1 };
    this.#change({ edits: {}, ...recipe });
    this.studio.announce(`Editing ${describe(recipe)}`);
  };

  async #download() {
    const { recipe } = this.#shown;
    const { signal } = this;
    const made = await this.studio.api.blob("v1/generate", { json: bodyOf(recipe), accept: "image/png", signal });
    download(made.blob, `${fileName(recipe)}.png`);
  }

  template() {
    if (this.#card === null) {
      const asked = this.studio.models.all.length || this.problem;
      return html`<h1>Edit</h1>
        ${asked ? empty("No generator is served.") : working("Asking for models…")}`;
    }
    const has = this.#card.directions?.length > 0;
    return html`<h1>Edit</h1>
      <div class="split">
        <section class="controls" aria-label="Picture">${this.#controls(has)}</section>
        <section class="stage" aria-label="Edits">
          ${has
            ? html`<div class="editor">${this.#picture()}${this.#sliders()}</div>`
            : noDirections(this.#card, this.#others(), (name) => this.#open(name))}
        </section>
      </div>`;
  }

  #others() {
    return this.studio.models.ofKind("generator").filter((card) => card.directions?.length);
  }

  #controls(has) {
    const recipe = this.#recipe;
    const models = this.studio.models.ofKind("generator");
    const labels = labelsOf(this.#card);
    const random = () => this.#change({ seed: Math.floor(Math.random() * 1e6), ws: undefined, title: undefined });
    const seed = { id: "seed", label: "Seed", value: recipe.seed, min: 0, max: MAX_SEED };
    const label = { id: "label", label: "Class", value: recipe.label, choices: labels };
    const psi = { id: "truncation", label: "Truncation ψ", value: recipe.truncation, min: -1, max: 2, step: 0.01 };
    const model = modelChoice({ id: "model", models, value: recipe.model, change: (name) => this.#open(name) });
    if (!has) return model;
    return html`${model}
      ${recipe.ws
        ? html`<p class="base"><span class="label">${recipe.title ?? "A mixture"}</span>
            <button type="button" @click=${random}>Start from a seed</button></p>`
        : html`<div class="seed-line">
              ${numberField({ ...seed, change: (value) => this.#change({ seed: value }) })}
              <button type="button" id="random" @click=${random}>Random</button>
            </div>
            ${labels.length
              ? choice({ ...label, change: (value) => this.#change({ label: value }) })
              : nothing}
            ${slider({ ...psi, change: (truncation) => this.#change({ truncation }) })}`}
      <div class="field"><span class="label">Start from a favourite</span>
        ${this.#strip.template({ card: this.#card, verb: "Edit", select: this.#start })}</div>`;
  }

  #picture() {
    const shown = this.#shown;
    const edited = isEdited(this.#recipe);
    const url = (picture) => (picture ? this.#urls.of(picture.blob) : null);
    const hold = (how) => this.#hold(how);
    const held = this.#held !== null;
    const look = (beside, text) => html`<button type="button" aria-pressed=${String(this.#beside === beside)}
      @click=${() => this.#look(beside)}>${text}</button>`;
    return html`<div class="picture">
      <div class="row toolbar" role="group" aria-label="Before and after">
        ${look(false, "Single")} ${look(true, "Side by side")}
        ${this.#beside ? nothing : holdButton({ edited, held, hold, release: (how) => this.#release(how) })}
      </div>
      ${compare({
        before: url(shown?.before),
        after: url(shown?.after),
        words: describe(unedited(shown?.recipe ?? this.#recipe)),
        edited,
        beside: this.#beside,
        held,
        busy: this.#paint.busy,
        hold,
      })}
      ${shown ? this.#actions(shown) : nothing}
    </div>`;
  }

  #actions({ recipe, after }) {
    const favourite = favouriteOf({ ...recipe, title: titleOf(recipe, this.#recipe) }, this.#card.digest);
    const kept = this.studio.favourites.has(favourite);
    const keep = () => {
      const now = this.studio.favourites.toggle(favourite);
      this.studio.announce(now ? "Kept as a favourite" : "No longer kept");
    };
    const save = () => this.attempt(() => this.#download());
    const large = () =>
      this.studio.openPicture({
        blob: after.blob,
        title: describe(recipe),
        name: `${fileName(recipe)}.webp`,
        actions: html`<button type="button" class="primary" @click=${save}>Download</button>`,
      });
    return html`<div class="row actions">
        <button type="button" id="keep" aria-pressed=${String(kept)} @click=${keep}>
          ${kept ? "★ Kept" : "☆ Keep"}</button>
        <button type="button" id="download" @click=${save}>Download</button>
        <button type="button" id="large" @click=${large}>Enlarge</button>
      </div>
      ${copyAs({
        commands: commandsOf(recipe, this.#card, this.studio.api.hasKey),
        announce: (text) => this.studio.announce(text),
      })}`;
  }

  #look(beside) {
    this.#beside = beside;
    this.#want();
  }

  #sliders() {
    const { edits } = this.#recipe;
    const undo = this.#undo;
    const widen = (range) => {
      this.#range = Number(range);
      this.#want();
    };
    const choices = RANGES.map((range) => ({ value: String(range), text: `±${range}` }));
    return html`<section class="card sliders" aria-label="Directions">
      <div class="row head">
        <h2>Directions</h2>
        ${choice({ id: "range", label: "Range", value: String(this.#range), choices, change: widen })}
        ${undo && !isEdited(this.#recipe)
          ? html`<button type="button" id="undo" @click=${() => this.#change({ edits: undo })}>Undo reset</button>`
          : html`<button type="button" id="reset" ?disabled=${!isEdited(this.#recipe)}
              @click=${() => this.#reset()}>Reset all</button>`}
      </div>
      ${directions({
        card: this.#card,
        edits,
        range: this.#range,
        end: this.#ends.shown(this.#card) ? (name, amount) => this.#ends.url(name, amount) : null,
        change: (name, amount) => this.#edit(name, amount),
      })}
    </section>`;
  }
}

/** What is the same as long as the picture before is. */
const sourceOf = (recipe) => JSON.stringify(paramsOf(unedited(recipe)));
