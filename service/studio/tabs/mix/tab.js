/** Mix: rows crossed with columns, of which layers are taken; a click on a picture keeps it. */

import { html, nothing } from "../../core/lit.js";
import { BlobUrls, download } from "../../core/files.js";
import { describe, preferred } from "../../core/generator.js";
import { Problem } from "../../core/problem.js";
import { randomSeeds } from "../../core/seeds.js";
import { Tab } from "../../core/tab.js";
import { counted } from "../../core/text.js";
import { modelChoice, slider, working } from "../../components/controls.js";
import { copyAs } from "../../components/copy-as.js";
import { FavouritesStrip } from "../../components/favourites-strip.js";
import { empty } from "../../components/notice.js";
import { axisField } from "./axis.js";
import { Cells } from "./cells.js";
import { commandsOf, fileName } from "./commands.js";
import { grid } from "./grid.js";
import { Keeping } from "./keeping.js";
import { Large } from "./large.js";
import { layersPanel } from "./layers.js";
import { bodyOf, paramsOf, readSetting } from "./setting.js";
import { MOST, named, sourceOf, sourceText } from "./sources.js";

export default class Mix extends Tab {
  static styles = ["tab.css"];
  #setting = null;
  #faults = { rows: "", columns: "" };
  #captions = false;
  #addTo = "rows";
  #mostImages = 64;
  #saving = "";
  #urls = new BlobUrls();
  #cells = new Cells(this);
  #keeping = new Keeping(this);
  #large = new Large(this, this.#cells, this.#keeping);
  #strip = new FavouritesStrip(this);

  async start() {
    this.on(this.studio.models, "change", () => this.#modelsChanged());
    this.on(this.studio.connection, "back", () => this.#want());
    await this.studio.models.ready(this.signal);
    this.changed();
    this.#mostImages = (await this.studio.api.json("v1/limits", { signal: this.signal })).max_images_per_request;
    this.update();
  }

  changed() {
    this.view.forget();
    const { params } = this.view;
    const cards = this.studio.models.ofKind("generator");
    const card = cards.find(({ name }) => name === params.get("model")) ?? preferred(cards);
    if (!card) return this.update();
    if (params.has("model") && params.get("model") !== card.name) this.#missing(params.get("model"), card.name);
    const setting = readSetting(params, card);
    const favourites = this.studio.favourites.of(card.name);
    for (const axis of ["rows", "columns"]) setting[axis] = setting[axis].map((source) => named(source, favourites));
    this.#setting = setting;
    this.#captions = params.has("captions");
    this.#want();
  }

  update() {
    super.update();
    if (this.#setting) this.#large.draw(this.#setting);
  }

  /** Other models, or other weights: what is crossed stays. */
  #modelsChanged() {
    if (this.#setting === null) return this.changed();
    const { name } = this.#setting.card;
    const card = this.studio.models.ofKind("generator").find((one) => one.name === name);
    if (!card) return this.#missing(name);
    this.#change({ card });
  }

  #missing(name, instead) {
    const detail = instead ? `This is ${instead}.` : "It may have been unloaded; choose another, or wait for it.";
    this.fail(new Problem({ title: `There is no generator “${name}” now`, detail }));
  }

  stop() {
    super.stop();
    this.view.forget();
    this.#urls.clear();
  }

  #change(fields, moving = false) {
    this.#setting = { ...this.#setting, ...fields };
    this.#want(moving);
  }

  #want(moving = false) {
    if (!this.#setting) return;
    this.view.replaceSoon({ ...paramsOf(this.#setting), captions: this.#captions ? "yes" : null });
    this.#cells.want(this.#setting, moving);
    this.update();
  }

  #open(name) {
    const { rows, columns, layers, truncation } = paramsOf(this.#setting);
    const seedsOf = (text) => text.split(",").filter((source) => /^\d+$/.test(source)).join(",");
    const params = { rows: seedsOf(rows), columns: seedsOf(columns), layers, truncation: truncation ?? 1 };
    this.#setting = readSetting(new URLSearchParams(params), this.studio.models.named(name));
    this.#want();
  }

  #put(axis, sources) {
    const texts = sources.map(sourceText);
    this.#faults[axis] = "";
    this.#change({ [axis]: sources.filter((_, at) => texts.indexOf(texts[at]) === at) });
  }

  #add(axis, source) {
    const sources = this.#setting[axis];
    if (sources.length >= MOST) {
      this.studio.announce(`There are ${MOST} already`);
      return;
    }
    this.#put(axis, [...sources, source]);
  }

  #addFavourite(axis, favourite) {
    this.#add(axis, sourceOf(favourite));
    this.studio.announce(`${describe(favourite)} is added to the ${axis}`);
  }

  #on = {
    keep: (row, column) => this.#keeping.toggle(this.#setting, row, column),
    open: (row, column) => this.#large.show(this.#setting, row, column),
    remove: (axis, at) => this.#put(axis, this.#setting[axis].toSpliced(at, 1)),
    another: (axis, at) => this.#put(axis, this.#setting[axis].with(at, { seed: randomSeeds(1)[0] })),
    add: (axis) => this.#add(axis, { seed: randomSeeds(1)[0] }),
    drop: (axis, favourite, at) => this.#dropped(axis, favourite, at),
  };

  /** A favourite that was dragged: instead of the source on which it was dropped, or one more. */
  #dropped(axis, favourite, at) {
    if (favourite.model !== this.#setting.card.name) return;
    if (at === undefined) this.#addFavourite(axis, favourite);
    else this.#put(axis, this.#setting[axis].with(at, sourceOf(favourite)));
  }

  #swap() {
    const { rows, columns, labels } = this.#setting;
    this.#change({ rows: columns, columns: rows, labels: { rows: labels.columns, columns: labels.rows } });
  }

  async #save(what) {
    this.#saving = what;
    this.update();
    const { signal } = this;
    const setting = this.#setting;
    const accept = { png: "image/png", zip: "application/zip" }[what];
    const json = { ...bodyOf(setting), ...(what === "png" && this.#captions ? { captions: true } : {}) };
    try {
      const { blob } = await this.studio.api.blob("v1/style-mix", { json, accept, signal });
      download(blob, `${fileName(setting)}.${what}`);
    } finally {
      this.#saving = "";
      this.update();
    }
  }

  template() {
    if (this.#setting === null) {
      const asked = this.studio.models.all.length || this.problem;
      return html`<h1>Mix</h1>
        ${asked ? empty("No generator is served.") : working("Asking for models…")}`;
    }
    return html`<h1>Mix</h1>
      <div class="split">
        <section class="controls" aria-label="What is mixed">${this.#controls()}</section>
        <section class="stage" aria-label="Mixtures">${this.#grid()}${this.#below()}${this.#favourites()}</section>
      </div>`;
  }

  #controls() {
    const { card, layers, truncation, labels } = this.#setting;
    const axis = (name) =>
      axisField({
        axis: name,
        card,
        sources: this.#setting[name],
        label: labels[name],
        fault: this.#faults[name],
        change: (sources) => this.#put(name, sources),
        changeLabel: (label) => this.#change({ labels: { ...labels, [name]: label } }),
        refuse: (fault) => {
          this.#faults[name] = fault;
          this.update();
        },
      });
    const truncate = (value) => this.#change({ truncation: value }, true);
    const models = this.studio.models.ofKind("generator");
    const psi = { id: "truncation", label: "Truncation ψ", value: truncation, min: -1, max: 2, step: 0.01 };
    return html`${modelChoice({ id: "model", models, value: card.name, change: (name) => this.#open(name) })}
      ${axis("rows")}
      <button type="button" class="quiet swap" @click=${() => this.#swap()}>⇅ Swap rows and columns</button>
      ${axis("columns")}
      ${layersPanel({ card, layers, change: (chosen) => this.#change({ layers: chosen }) })}
      ${slider({ ...psi, change: truncate })}`;
  }

  #grid() {
    const setting = this.#setting;
    return grid({
      setting,
      header: (axis, source) => this.#url(this.#cells.header(setting, axis, source)),
      cell: (row, column) => {
        const { blob, stale } = this.#cells.shown(setting, row, column);
        return { url: this.#url(blob), stale, kept: this.#keeping.state(setting, row, column) };
      },
      on: this.#on,
    });
  }

  #url(blob) {
    return blob ? this.#urls.of(blob) : null;
  }

  #below() {
    const setting = this.#setting;
    const { rows, columns, layers } = setting;
    const count = rows.length * columns.length;
    const made = this.#cells.count(setting);
    const caption = (event) => {
      this.#captions = event.target.checked;
      this.#want();
    };
    const file = (what, text, images) => html`<button type="button" id=${what}
      ?disabled=${!layers.length || this.#saving !== "" || images > this.#mostImages}
      title=${images > this.#mostImages ? `This server makes at most ${this.#mostImages} pictures in a call` : nothing}
      @click=${() => this.attempt(() => this.#save(what))}>${text}</button>`;
    const commands = () => commandsOf(setting, this.#captions, this.studio.api.hasKey);
    return html`<div class="row">
        ${file("png", "Download grid", count + rows.length + columns.length)}
        ${file("zip", "Download all as zip", count)}
        <label class="check">
          <input type="checkbox" id="captions" .checked=${this.#captions} @change=${caption}>Captions</label>
        <span class="state">${made < count && layers.length ? `${made} of ` : ""}${counted(count, "picture")}</span>
      </div>
      ${layers.length
        ? copyAs({ commands: commands(), announce: (text) => this.studio.announce(text) })
        : nothing}`;
  }

  #favourites() {
    const { card } = this.#setting;
    const to = (axis) => html`<button type="button" aria-pressed=${String(this.#addTo === axis)}
      @click=${() => {
        this.#addTo = axis;
        this.update();
      }}>${axis}</button>`;
    return html`<section class="kept-ones" aria-label="Favourites">
      <div class="row"><h2>Favourites</h2>
        <div class="row" role="group" aria-label="A favourite that is clicked goes to"><small>a click adds to</small>
          ${to("rows")} ${to("columns")}</div></div>
      ${this.#strip.template({
        card,
        verb: `Add to ${this.#addTo}`,
        select: (favourite) => this.#addFavourite(this.#addTo, favourite),
        empty: "Click a picture of the grid to keep it. What you keep can be a row or a column in turn.",
      })}
    </section>`;
  }
}
