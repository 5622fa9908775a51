/** Pictures of seeds: a gallery that answers while its settings move. */

import { copyAs } from "../../components/copy-as.js";
import { FavouritesStrip } from "../../components/favourites-strip.js";
import { empty } from "../../components/notice.js";
import { closePicture } from "../../components/picture.js";
import { favouriteOf, preferred } from "../../core/generator.js";
import { html, nothing } from "../../core/lit.js";
import { parseSeeds, randomSeeds, seedsAfter, turnedPage, writeSeeds } from "../../core/seeds.js";
import { Problem } from "../../core/problem.js";
import { Tab } from "../../core/tab.js";
import { counted } from "../../core/text.js";
import { commandsOfAll } from "./commands.js";
import { formatChoice } from "./format-choice.js";
import { Gallery } from "./gallery.js";
import { panel } from "./panel.js";
import { saveAll } from "./save-all.js";
import { tileOf, tileVisible } from "./tiles.js";
import { MOST, fitted, readWanted, viewOf } from "./wanted.js";

export default class extends Tab {
  static styles = ["tab.css"];

  #wanted = null;
  #fault = "";
  #format = { value: "png" };
  #saving = null;
  #all = matchMedia("(min-width: 50rem)").matches;
  #strip = new FavouritesStrip(this);
  #gallery = new Gallery({
    studio: this.studio,
    signal: this.signal,
    update: () => this.update(),
    visible: (seed) => tileVisible(this.root, seed),
    failed: (problem) => this.#failed(problem),
    complete: () => this.studio.announce(`${counted(this.#gallery.tiles.length, "picture")} of ${this.#wanted.model}`),
  });
  #large = null;

  get #cards() {
    return this.studio.models.ofKind("generator");
  }

  get #card() {
    return this.studio.models.named(this.#wanted?.model);
  }

  async start() {
    this.on(this.studio.models, "change", () => this.#modelsChanged());
    this.on(this.studio.connection, "back", () => this.#again());
    this.on(this.studio.favourites, "change", () => this.update());
    this.signal.addEventListener("abort", () => {
      this.view.forget();
      closePicture();
    });
    await this.studio.models.ready(this.signal);
    if (this.#wanted === null) this.#read();
  }

  changed() {
    this.#read();
  }

  /** Shows what the URL asks for. */
  #read() {
    const { params } = this.view;
    const card = this.#cards.find(({ name }) => name === params.get("model")) ?? preferred(this.#cards);
    if (!card) {
      this.update();
      return;
    }
    if (params.has("model") && params.get("model") !== card.name) {
      this.fail(new Problem({ title: `There is no generator “${params.get("model")}” now`, detail: `This is ${card.name}.` }));
    }
    this.#change(readWanted(params, card), true);
    const open = Number(params.get("open") ?? NaN);
    const tile = this.#gallery.tiles.find(({ seed }) => seed === open);
    if (tile) this.#enlarge(tile);
  }

  /** Wants something else; `instead` unless it is a slider that moves. */
  #change(wanted, instead) {
    this.#wanted = wanted;
    this.#fault = "";
    this.#write();
    this.#gallery.want(wanted, this.#card.digest, instead);
  }

  #move(values) {
    this.clearProblem();
    this.#change({ ...this.#wanted, ...values }, false);
  }

  #write(open) {
    this.view.replaceSoon({ ...viewOf(this.#wanted), open });
  }

  #enlarge(tile) {
    this.#open(tile.recipe, this.#gallery.tiles.map(({ recipe }) => recipe));
  }

  /** Shows one large. How to is asked for with the first, since the first view needs it not. */
  async #open(...what) {
    await this.attempt(async () => {
      const { Large } = await import("./large.js").catch(() => {
        throw Problem.unreachable();
      });
      if (this.signal.aborted) return;
      this.#large ??= new Large({
        tab: this,
        card: () => this.#card,
        format: this.#format,
        opened: (recipe) => this.#opened(recipe),
      });
      await this.#large.open(...what);
    });
  }

  #opened(recipe) {
    if (this.signal.aborted) return;
    const tile = this.#gallery.tiles.find((one) => one.recipe === recipe);
    if (tile) this.#gallery.focus = tile.seed;
    this.#write(tile?.seed);
  }

  #openFavourite(favourite) {
    const all = [...this.studio.favourites.of(this.#card.name)].reverse();
    this.#open(favourite, all, (recipe) => this.#use(recipe));
  }

  /** A favourite's settings, with its seed among the pictures. Its edits stay in Edit. */
  #use(recipe) {
    const { seeds } = this.#wanted;
    const settings = { truncation: 1, truncation_cutoff: null, noise: "const", rotation: 0, translation: [0, 0], ...recipe };
    const { seed, digest: _, title: __, edits: ___, ...rest } = settings;
    this.#gallery.focus = seed;
    this.#change(fitted({ ...rest, seeds: seeds.includes(seed) ? seeds : [seed, ...seeds].slice(0, MOST) }, this.#card), true);
  }

  #again() {
    this.clearProblem();
    if (this.#wanted === null) this.#read();
    else if (this.#card) this.#gallery.want(this.#wanted, this.#card.digest, true);
  }

  #modelsChanged() {
    if (this.#wanted === null || !this.#card) this.#read();
    else this.#change(fitted(this.#wanted, this.#card), true);
  }

  #failed(problem) {
    // The model was loaded anew with other weights: what it is now is in its card.
    if (problem.slug === "digest-mismatch") this.attempt(() => this.studio.models.load(this.signal));
    else this.fail(problem);
  }

  #model(name) {
    this.clearProblem();
    this.#change(fitted(this.#wanted, this.studio.models.named(name)), true);
  }

  #seeds(seeds) {
    this.clearProblem();
    this.#gallery.focus = null;
    this.#change({ ...this.#wanted, seeds }, true);
  }

  #typed(text) {
    try {
      const seeds = parseSeeds(text, MOST);
      const same = writeSeeds(seeds) === writeSeeds(this.#wanted.seeds);
      if (!same || this.#fault) this.#seeds(seeds); // else Enter and leaving the field would ask twice
    } catch (error) {
      this.#fault = error.message;
      this.update();
    }
  }

  async #saveAll() {
    this.#saving = new AbortController();
    this.update();
    const signal = AbortSignal.any([this.#saving.signal, this.signal]);
    const [wanted, card] = [this.#wanted, this.#card];
    await this.attempt(() => saveAll({ api: this.studio.api, wanted, card, format: this.#format.value, signal }));
    this.#saving = null;
    this.update();
  }

  template() {
    if (this.#wanted === null || !this.#card) return html`<h1>Generate</h1>${this.#nothing()}`;
    const wanted = this.#wanted;
    const on = {
      model: (name) => this.#model(name),
      seeds: (text) => this.#typed(text),
      random: () => this.#seeds(randomSeeds(wanted.seeds.length)),
      page: (direction) => this.#seeds(turnedPage(wanted.seeds, direction)),
    };
    const move = (values) => this.#move(values);
    return html`<h1 class="unseen">Generate</h1>
      <div class="split">
        ${panel({ wanted, card: this.#card, cards: this.#cards, fault: this.#fault, all: this.#all, move, on })}
        <div class="stage">${this.#stage()}</div>
      </div>`;
  }

  #nothing() {
    if (this.problem) return nothing;
    return this.studio.models.all.length
      ? empty("No generator is served now. Load one, or train one with gantrain.")
      : html`<p class="empty" role="status">Asking the server for its models…</p>`;
  }

  #stage() {
    const { tiles, ready } = this.#gallery;
    const complete = ready === tiles.length;
    return html`<div class="row status">
        <p class="count">${complete ? counted(ready, "picture") : `${ready} of ${counted(tiles.length, "picture")}`}</p>
        ${this.#gallery.problem ? html`<button type="button" id="again" @click=${() => this.#again()}>Try again</button>` : nothing}
        ${formatChoice("format", this.#format, () => this.update())}
        ${this.#saving
          ? html`<button type="button" @click=${() => this.#saving?.abort()}>Cancel the download</button>`
          : html`<button type="button" id="save-all" @click=${() => this.#saveAll()}>Download all</button>`}
      </div>
      <ul class="gallery" aria-label="Pictures" aria-busy=${String(!complete && !this.#gallery.problem)}>
        ${tiles.map((tile) => tileOf(tile, this.#tileOptions()))}
      </ul>
      ${this.#more()}
      ${copyAs({
        commands: commandsOfAll(this.#wanted, this.#format.value, this.studio.api.hasKey),
        announce: (text) => this.studio.announce(text),
      })}
      <section class="stage" aria-labelledby="kept-title">
        <h2 id="kept-title">Favourites</h2>
        ${this.#strip.template({
          card: this.#card,
          verb: "Open",
          select: (favourite) => this.#openFavourite(favourite),
          empty: "Keep a picture with its heart: it stays here, and serves Interpolate and Mix.",
        })}
      </section>`;
  }

  #tileOptions() {
    const { favourites } = this.studio;
    const favourite = (tile) => favouriteOf(tile.recipe, tile.digest);
    return {
      gallery: this.#gallery,
      kept: (tile) => favourites.has(favourite(tile)),
      keep: (tile) => favourites.toggle(favourite(tile)),
      open: (tile) => this.#enlarge(tile),
      focus: (tile) => (this.#gallery.focus = tile.seed),
    };
  }

  #more() {
    const { seeds } = this.#wanted;
    const added = seedsAfter(seeds, Math.min(12, MOST - seeds.length));
    if (!added.length) return nothing;
    const add = () => this.#seeds([...seeds, ...added]);
    return html`<p class="row"><button type="button" id="more" @click=${add}>${counted(added.length, "more picture")}</button></p>`;
  }
}
