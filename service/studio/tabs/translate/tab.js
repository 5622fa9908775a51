/** Translate: a drawing or a picture on one side, what a model makes of it on the other. */

import { html, nothing } from "../../core/lit.js";
import { ROOT } from "../../core/api.js";
import { BlobUrls, download, extensionOf, imagesOf } from "../../core/files.js";
import { Problem } from "../../core/problem.js";
import { Tab } from "../../core/tab.js";
import { takePhoto } from "../../components/camera.js";
import { copyAs } from "../../components/copy-as.js";
import { takePasted } from "../../components/image-input.js";
import { empty } from "../../components/notice.js";
import { aboutModel, formatChoice, pictureInput, pictureSettings, samples, sourceChoice } from "./controls.js";
import { DrawingPad } from "./drawing-pad.js";
import { mediumOf } from "./media.js";
import { padKeys, padTools } from "./pad-tools.js";
import { aspectOf, drawingPanel, picturePanel, resultPanel } from "./panels.js";
import { pictureDeed } from "./picture-to-paper.js";
import { commandsOf, paramsOf, resultName, sensible, settingsOf } from "./settings.js";
import { Translation } from "./translation.js";

const NO_MODEL = "This server has no model that translates pictures.";
const SIDE = 256; // pixels; of drawings for models whose cards name no resolution
const LONGEST_SIDE = 1024;
const PAUSE = 1200; // milliseconds without a new translation before it is said that it is there
const TYPED = "input:not([type='range'], [type='radio'], [type='checkbox']), select, textarea, dialog";

/**
 * The picture last brought; going to another tab does not lose it. Its size is undefined until it is on screen, and 0
 * if the browser cannot show it.
 *
 * @type {{file: File, name: string, width?: number, height?: number}|null}
 */
let kept = null;

export default class extends Tab {
  static styles = ["tab.css"];

  settings = null;
  picture = kept;
  pad = new DrawingPad((text) => this.studio.announce(text));
  #urls = new BlobUrls();
  #timer = 0;

  constructor(id, root, studio) {
    super(id, root, studio);
    this.translation = new Translation(studio.api);
  }

  async start() {
    const { models, connection } = this.studio;
    await models.ready(this.signal);
    this.on(models, "change", () => this.#read());
    this.on(connection, "back", () => this.problem?.passing && this.#want());
    this.on(this.pad, "paint", () => this.settings?.source === "drawing" && this.#want());
    this.on(this.pad, "change", () => this.update());
    this.on(this.translation, "change", () => this.update());
    this.on(this.translation, "arrived", () => this.#arrived());
    this.on(this.translation, "failed", ({ detail }) => this.fail(detail));
    this.on(document, "keydown", (event) => this.#pressed(event));
    takePasted((file) => this.take(file), this.signal);
    await this.#read();
  }

  changed() {
    this.attempt(() => this.#read());
  }

  stop() {
    super.stop();
    clearTimeout(this.#timer);
    this.translation.forget();
    this.#urls.clear();
  }

  get models() {
    return this.studio.models.ofKind("translator");
  }

  get card() {
    return this.models.find(({ name }) => name === this.settings.model);
  }

  get medium() {
    return mediumOf(this.card);
  }

  /** What is to be translated now, or null if there is nothing. */
  get input() {
    const { settings, picture, pad } = this;
    if (settings === null) return null;
    if (settings.source === "picture") {
      return picture && { settings, file: picture.file, name: picture.name, image: async () => picture.file };
    }
    return pad.blank ? null : { settings, file: null, name: "drawing.png", image: () => pad.png() };
  }

  async #read() {
    const { params } = this.view;
    if (!this.models.length) {
      this.settings = null;
      this.translation.forget();
      this.update();
      return;
    }
    const settings = settingsOf(params, this.models);
    if (kept && !params.has("source") && !params.has("model")) settings.source = "picture";
    if (JSON.stringify(settings) === JSON.stringify(this.settings)) return;
    this.settings = settings;
    await this.#apply();
  }

  /** @param {Partial<import("./settings.js").Settings>} changes */
  #set(changes) {
    const { source, format } = this.settings;
    if (changes.model) {
      const more = { format, ...(this.picture && source === "picture" ? { source } : {}) };
      this.settings = settingsOf(new URLSearchParams({ ...changes, ...more }), this.models);
    } else {
      this.settings = sensible({ ...this.settings, ...changes });
    }
    return this.attempt(() => this.#apply());
  }

  async #apply() {
    this.view.replace(paramsOf(this.settings, this.card));
    this.clearProblem();
    this.update();
    await this.pad.lay(this.medium, Math.min(LONGEST_SIDE, this.card.resolution ?? SIDE));
    this.#want();
  }

  /** Has what is there now translated. */
  #want() {
    const { input } = this;
    if (input) this.translation.want(input);
    else this.translation.forget();
    this.update();
  }

  #arrived() {
    this.clearProblem();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.studio.announce("The translation is there"), PAUSE);
  }

  /** A picture to translate. */
  take(file) {
    kept = this.picture = { file, name: file.name || "picture.png" };
    this.#urls.clear();
    this.studio.announce(`${this.picture.name} is being translated`);
    if (this.settings) this.#set({ source: "picture", frame: null });
  }

  #dropped(event) {
    if (event.defaultPrevented) return; // where pictures are chosen
    event.preventDefault();
    const [file] = [...imagesOf(event.dataTransfer), ...event.dataTransfer.files];
    if (file) this.take(file);
    else this.#refuse("There was no file in it.");
  }

  #refuse(detail, title = "No picture") {
    this.fail(new Problem({ title, detail }));
  }

  async #camera() {
    try {
      const photo = await takePhoto({ signal: this.signal, announce: (text) => this.studio.announce(text) });
      if (photo && !this.signal.aborted) this.take(photo);
    } catch (error) {
      this.#refuse(error.message, "No picture from the camera");
    }
  }

  /** Puts the picture on the paper. */
  async #drawOver() {
    const { file, name } = this.picture;
    const deed = await pictureDeed(file, this.medium).catch(() => null);
    if (deed === null) {
      this.#refuse(`This browser cannot show ${name}.`, "It cannot be drawn over");
      return;
    }
    await this.pad.become([deed]);
    this.#set({ source: "drawing" });
  }

  #pressed(event) {
    const key = event.key.toLowerCase();
    if (this.settings?.source !== "drawing" || !(event.ctrlKey || event.metaKey) || !["z", "y"].includes(key)) return;
    if (event.target.closest?.(TYPED)) return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) this.pad.redo();
    else this.pad.undo();
  }

  template() {
    const { settings } = this;
    if (settings === null) {
      return html`<h1>Translate</h1>${this.studio.models.all.length ? empty(NO_MODEL) : nothing}`;
    }
    const drawing = settings.source === "drawing";
    const box = `--aspect: ${aspectOf(settings, this.picture)}; --ground: ${settings.background}`;
    return html`<h1>Translate</h1>
      <div class=${`split ${settings.source}`} @dragover=${(event) => event.preventDefault()}
        @drop=${(event) => this.#dropped(event)}>
        <section class="controls" aria-label="Settings">${this.#controls(drawing)}</section>
        <section class=${`stage ${settings.source}`} aria-label="Before and after">
          ${drawing ? padTools(this.pad, this.medium) : nothing}
          <div class="pair" .style=${box}>${this.#before(drawing)}${this.#after(drawing)}</div>
          ${this.#below(drawing)}
        </section>
      </div>`;
  }

  #controls(drawing) {
    const { settings, card, medium, models, pad } = this;
    const set = (changes) => this.#set(changes);
    return html`
      ${aboutModel({ models, card, medium, choose: (model) => set({ model }) })}
      ${sourceChoice({ source: settings.source, change: (source) => set({ source }) })}
      ${drawing
        ? samples(medium, (deeds) => pad.become(deeds))
        : html`${pictureInput({
            take: (file) => this.take(file),
            refuse: (text) => this.#refuse(text),
            camera: () => this.#camera(),
          })}
          ${pictureSettings({ settings, card, set })}`}
      ${formatChoice({ format: settings.format, set })}`;
  }

  #before(drawing) {
    const { picture, settings, pad } = this;
    if (drawing) return drawingPanel(pad);
    const seen = (width, height) => {
      Object.assign(picture, { width, height });
      this.update();
    };
    return picturePanel({ picture, url: picture ? this.#urls.of(picture.file) : "", settings, seen });
  }

  #after(drawing) {
    const { translation, input, studio } = this;
    const stale = input !== null && translation.staleFor(input);
    const open = () =>
      studio.openPicture({ blob: translation.result.blob, title: "The translation", name: this.#resultName() });
    return resultPanel({ translation, stale, drawing, open });
  }

  #resultName() {
    const { name, settings, blob } = this.translation.result;
    return resultName(name, settings.model, extensionOf(blob.type));
  }

  #below(drawing) {
    const { input, settings, translation, problem } = this;
    if (input === null) return drawing ? padKeys() : nothing;
    const { name } = input;
    const written = resultName(name, settings.model, extensionOf(`image/${settings.format}`));
    const server = { url: ROOT.href.replace(/\/$/, ""), key: this.studio.api.hasKey };
    const fresh = translation.result !== null && !translation.staleFor(input);
    const announce = (text) => this.studio.announce(text);
    const save = async () => download(await input.image(), name);
    return html`<div class="row">
        <button type="button" class="primary" id="download" ?disabled=${!fresh}
          @click=${() => download(translation.result.blob, this.#resultName())}>Download</button>
        <button type="button" id="save-input" @click=${save}>Save ${name}</button>
        ${drawing
          ? nothing
          : html`<button type="button" id="draw-over" @click=${() => this.#drawOver()}>
              ${this.medium.lines ? "Make it a line drawing" : "Draw over it"}</button>`}
        ${problem ? html`<button type="button" id="again" @click=${() => this.#want()}>Try again</button>` : nothing}
      </div>
      ${drawing ? padKeys() : nothing}
      ${copyAs({ commands: commandsOf(settings, name, written, server), announce })}`;
  }
}
