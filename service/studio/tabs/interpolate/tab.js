/** Interpolate: a path through latents, seen while it is made. */

import { copyAs } from "../../components/copy-as.js";
import { FavouritesStrip } from "../../components/favourites-strip.js";
import { preferred } from "../../core/generator.js";
import { html, nothing } from "../../core/lit.js";
import { Tab } from "../../core/tab.js";
import { readAddress, writeAddress } from "./address.js";
import { commandsOf } from "./commands.js";
import { forModel, withAdded, withFields, withLikeness, withMoved } from "./editing.js";
import { FILE } from "./file.js";
import { focusSoon } from "./focus.js";
import { keyframePanel } from "./keyframe-panel.js";
import { Missing } from "./missing.js";
import { leftBehindNote, tooLongNote, unreadNote } from "./notes.js";
import { DEFAULTS, frameOf, obstacle, signOf } from "./path.js";
import { pathPanel } from "./path-panel.js";
import { Reel } from "./reel.js";
import { Saving } from "./saving.js";
import { SeedForm } from "./seed-form.js";
import { Thumbnails } from "./thumbnails.js";
import { timeline, titleOf, wordsOf } from "./timeline.js";

/** Calls that take longer get their time by name in commands: the server's own limit may be shorter. */
const LONG_SECONDS = 15;
const FIRST_STEPS = 4;

export default class Interpolate extends Tab {
  static styles = ["tab.css"];

  #path = { model: "", keyframes: [], ...DEFAULTS };
  #file = { ...FILE };
  #base = {}; // what new keyframes look like
  #chosen = null; // id of a keyframe
  #limits = null;
  #note = "";
  #missing = new Missing(this);
  #strip = new FavouritesStrip(this);
  #thumbnails = new Thumbnails(this);
  #saving = new Saving(this);
  #reel = new Reel(this);
  #seeds = new SeedForm(this, (recipes) => this.#add(recipes.map((recipe) => this.#like(recipe))));

  async start() {
    this.on(this.studio.models, "change", () => (this.#path.model ? this.#changed(true) : this.changed()));
    this.on(this.studio.connection, "back", () => this.#again());
    await this.#load();
  }

  changed() {
    if (!this.#limits) return;
    const { params } = this.view;
    const model = params.get("model") ?? preferred(this.#cards)?.name ?? "";
    const favourites = this.studio.favourites.of(model);
    const { path, file, unread } = readAddress(params, { model, most: this.#limits.max_animation_frames, favourites });
    this.#note = unreadNote(unread);
    this.#path = path;
    this.#file = file;
    this.#chosen = null;
    const { seed, ws, ...base } = path.keyframes.find(({ recipe }) => !recipe.ws)?.recipe ?? {};
    this.#base = base;
    this.#changed(true);
  }

  template() {
    const card = this.#card;
    if (!this.#limits) return html`<h1>Interpolate</h1>`;
    if (!card) return html`<h1>Interpolate</h1>${this.#noModel()}`;
    requestAnimationFrame(() => this.#reel.player.drawn());
    return html`<h1>Interpolate</h1>
      <div class="split">
        <div class="side">${this.#settings()} ${this.#saver(card)}</div>
        <div class="stage">
          <div class="scene">
            <div class="view">
              ${this.#reel.player.template({ label: this.#label, side: card.resolution ?? 256 })} ${this.#status()}
            </div>
            <div class="side">
              ${this.#keyframePanel(card)}
              ${this.#favourites(card)}
            </div>
          </div>
          ${this.#note ? html`<p class="notice" role="status">${this.#note}</p>` : nothing}
          ${this.#timeline()}
          ${this.#seeds.template({ clear: this.#path.keyframes.length ? () => this.#clear() : null })}
          ${this.#possible ? this.#copyAs(card) : nothing}
        </div>
      </div>`;
  }

  get #cards() {
    return this.studio.models.ofKind("generator");
  }

  get #card() {
    return this.#cards.find(({ name }) => name === this.#path.model);
  }

  get #possible() {
    return this.#card !== undefined && this.#path.keyframes.length > 1 && obstacle(this.#path) === "";
  }

  get #label() {
    const { keyframes, frames } = this.#path;
    if (keyframes.length < 2) return "No animation yet";
    return `Animation of ${frames} frames through ${keyframes.map(titleOf).join(", ")}`;
  }

  #favourites(card) {
    const strip = this.#strip.template({
      card,
      verb: "Add",
      select: (favourite) => this.#add([favourite]),
      empty: "Pictures that you keep in Generate or Mix are shown here, to be dragged onto the timeline.",
    });
    return html`<section class="card kept-ones" aria-labelledby="kept-ones">
      <h2 id="kept-ones">Favourites</h2>
      ${strip}
    </section>`;
  }

  #noModel() {
    return this.#missing.template(this.#path.model, this.#cards, (name) => this.#setModel(name));
  }

  #timeline() {
    const on = {
      move: (id, place, button) => this.#move(id, place, button),
      remove: (id) => this.#remove(id),
      choose: (id) => this.#choose(this.#chosen === id ? null : id),
      add: (favourite, place) => this.#add([favourite], place),
    };
    return timeline({ path: this.#path, thumbnails: this.#thumbnails, chosen: this.#chosen, on });
  }

  #settings() {
    return pathPanel({
      path: this.#path,
      cards: this.#cards,
      most: this.#limits.max_animation_frames,
      change: (values) => this.#set(values),
      model: (name) => this.#setModel(name),
    });
  }

  #saver(card) {
    return this.#saving.template({
      path: this.#path,
      file: this.#file,
      limits: this.#limits,
      card,
      possible: this.#possible,
      change: (values) => this.#setFile(values),
    });
  }

  #status() {
    if (this.#path.keyframes.length) return this.#reel.status(this.#path);
    const begin = () => {
      this.#seeds.addRandom(FIRST_STEPS);
      focusSoon(this, ".screen");
    };
    return html`<p class="status">A path leads from picture to picture.
      <button type="button" class="primary" id="try" @click=${begin}>Try four random ones</button></p>`;
  }

  #keyframePanel(card) {
    const chosen = this.#path.keyframes.find(({ id }) => id === this.#chosen) ?? null;
    return keyframePanel({
      path: this.#path,
      chosen,
      shown: chosen?.recipe ?? this.#base,
      card,
      on: {
        change: (values) => this.#style(values),
        all: () => this.#done(chosen.id),
        copy: () => this.#copy(chosen),
        useForAll: () => this.#useForAll(chosen.recipe),
      },
    });
  }

  #copyAs(card) {
    const wait = this.#reel.took > LONG_SECONDS ? this.#seconds : undefined;
    const commands = commandsOf(this.#path, this.#file, card, { key: this.studio.api.hasKey, wait });
    return copyAs({ commands, announce: (text) => this.studio.announce(text) });
  }

  get #seconds() {
    return Math.floor(this.#limits.max_deadline_seconds);
  }

  // What the user does

  #placeOf(id) {
    return this.#path.keyframes.findIndex((keyframe) => keyframe.id === id);
  }

  #set(values) {
    this.#path = { ...this.#path, ...values };
    this.#changed();
  }

  #setFile(values) {
    this.#file = { ...this.#file, ...values };
    this.#writeAddress();
    this.update();
  }

  #setModel(model) {
    const keyframes = forModel(this.#path, this.#cards.find(({ name }) => name === model));
    this.#note = leftBehindNote(this.#path.keyframes.length - keyframes.length);
    this.#base = { truncation: this.#base.truncation };
    this.#chosen = null;
    this.#set({ model, keyframes });
  }

  /** A recipe that was typed, which looks like the others in what it does not say. */
  #like(recipe) {
    return recipe.ws ? { noise: this.#path.noise, ...recipe } : { noise: this.#path.noise, ...this.#base, ...recipe };
  }

  #add(recipes, place = this.#path.keyframes.length) {
    const before = this.#path.keyframes;
    const keyframes = withAdded(this.#path, recipes, place, this.#card);
    const noises = recipes.map(({ noise }) => noise ?? "const");
    const noise = before.length ? this.#path.noise : noises[0];
    const other = noises.some((one) => one !== noise);
    this.#note = other ? "All frames have the same noise, that of the path; a favourite's own is left out." : "";
    const added = keyframes.filter((keyframe) => !before.includes(keyframe));
    this.studio.announce(`${added.map(wordsOf).join("; ")}: added, from keyframe ${place + 1} on`);
    this.#set({ keyframes, noise });
  }

  #copy({ id, recipe, title }) {
    this.#add([{ ...recipe, title, noise: this.#path.noise }], this.#placeOf(id) + 1);
  }

  #clear() {
    this.#chosen = null;
    this.#note = "";
    this.#set({ keyframes: [] });
    this.studio.announce("All keyframes are removed");
    focusSoon(this, "#seeds");
  }

  #move(id, place, button) {
    const { keyframes } = this.#path;
    const from = this.#placeOf(id);
    if (place === from || place < 0 || place >= keyframes.length) return;
    this.studio.announce(`${titleOf(keyframes[from])} is keyframe ${place + 1} of ${keyframes.length} now`);
    this.#set({ keyframes: withMoved(this.#path, id, place) });
    const other = button === "left" ? "right" : "left";
    if (button) focusSoon(this, `[data-id="${id}"] .${button}:enabled`, `[data-id="${id}"] .${other}`);
  }

  #remove(id) {
    const { keyframes } = this.#path;
    const place = this.#placeOf(id);
    const next = keyframes[place + 1] ?? keyframes[place - 1];
    if (this.#chosen === id) this.#chosen = null;
    this.studio.announce(`Keyframe ${place + 1}, ${titleOf(keyframes[place])}, is removed`);
    this.#set({ keyframes: keyframes.toSpliced(place, 1) });
    focusSoon(this, next ? `[data-id="${next.id}"] .remove` : "#seeds");
  }

  #choose(id) {
    this.#chosen = id;
    if (id !== null) this.#reel.player.seek(frameOf(this.#path, this.#placeOf(id)));
    this.update();
  }

  #done(id) {
    this.#choose(null);
    focusSoon(this, `[data-id="${id}"] .open`);
  }

  /** Changes what the chosen keyframe looks like, or all of them and those to come. */
  #style(values) {
    if (this.#chosen === null) this.#base = { ...this.#base, ...values };
    this.#set({ keyframes: withFields(this.#path, this.#chosen, values) });
  }

  #useForAll(recipe) {
    const { seed, ws, ...values } = recipe;
    this.#base = values;
    const id = this.#chosen;
    this.#chosen = null;
    this.#set({ keyframes: withLikeness(this.#path, recipe) });
    focusSoon(this, `[data-id="${id}"] .open`);
  }

  // What follows from it

  async #load() {
    const { models, api } = this.studio;
    const [limits] = await Promise.all([api.json("v1/limits", { signal: this.signal }), models.ready(this.signal)]);
    this.#limits = limits;
    this.changed();
  }

  /** Something is another: the address, the pictures, and, unless nothing of them changed, the frames. */
  #changed(atOnce = false) {
    const [card, path] = [this.#card, this.#path];
    Object.assign(this.#reel.player, { fps: path.fps, loop: path.loop });
    this.#writeAddress();
    if (card) this.#thumbnails.want(path.keyframes, { noise: path.noise, digest: card.digest });
    const sign = this.#possible ? signOf(path, card.digest) : "";
    this.#reel.want(sign, { path, card, seconds: this.#seconds }, atOnce);
    if (!card) this.#missing.lookAgain(() => !this.#card);
    this.update();
  }

  /** The server is back. */
  #again() {
    if (!this.#limits) this.attempt(() => this.#load());
    else if (this.#card) {
      this.#thumbnails.want(this.#path.keyframes, { noise: this.#path.noise, digest: this.#card.digest }, true);
      if (this.#reel.state === "failed") this.#reel.again();
    }
  }

  #writeAddress() {
    if (!this.#card) return;
    const { values, ...tooLong } = writeAddress(this.#path, this.#file, this.studio.favourites.of(this.#path.model));
    this.view.replace(values);
    this.#note = tooLongNote(tooLong) || this.#note;
  }
}
