/** Upscale: a picture in, a larger one out, and both beside each other down to the pixel. */

import { html, nothing } from "../../core/lit.js";
import { ROOT } from "../../core/api.js";
import { extensionOf } from "../../core/files.js";
import { Problem, isAbort } from "../../core/problem.js";
import { Tab } from "../../core/tab.js";
import { duration } from "../../core/text.js";
import { copyAs } from "../../components/copy-as.js";
import { imageInput, takePasted } from "../../components/image-input.js";
import { empty } from "../../components/notice.js";
import { Comparison } from "./comparison.js";
import { controls } from "./controls.js";
import { enlarge } from "./enlarge.js";
import { objection } from "./limits.js";
import { beginning, made } from "./panels.js";
import { decoded } from "./pictures.js";
import { commandsOf, enlargedSize, fieldsOf, paramsOf, resultName, settingsOf } from "./settings.js";

const NO_MODEL = "This server has no model that enlarges pictures.";
const EMPTY = "Drop a picture here. What the model makes of it is shown beside it, down to single pixels.";
const FRAME_PROBLEMS = ["image-animated", "frame-out-of-range"];

/** Seconds an input pixel took, by model; outlasts the tab. */
const pace = new Map();

export default class extends Tab {
  static styles = ["tab.css"];

  comparison = new Comparison();
  settings = null;
  file = null;
  before = null;
  after = null;
  /** The enlarged file, with what it was made with. */
  result = null;
  limits = null;
  /** Of the call under way. */
  progress = null;
  #acts = { begin: () => this.enlarge(), cancel: () => this.cancel() };
  #running = null;
  #taking = 0;

  async start() {
    const { api, models } = this.studio;
    [this.limits] = await Promise.all([api.json("v1/limits", { signal: this.signal }), models.ready(this.signal)]);
    this.on(this.studio.models, "change", () => this.#read());
    this.on(this.comparison, "view", () => this.#save());
    takePasted((file) => this.take(file), this.signal);
    this.#read();
  }

  changed() {
    this.#read();
  }

  /** Above the tab, where the button that was pressed may be far below. */
  fail(error) {
    super.fail(error);
    requestAnimationFrame(() =>
      requestAnimationFrame(() => this.root.querySelector(".notice.bad")?.scrollIntoView({ block: "nearest" })),
    );
  }

  stop() {
    super.stop(); // and with it the call under way
    this.#taking++;
    this.comparison.close();
    this.before?.close();
    this.after?.close();
  }

  get models() {
    return this.studio.models.ofKind("upscaler");
  }

  get card() {
    return this.models.find(({ name }) => name === this.settings.model);
  }

  #read() {
    const params = this.view.params;
    this.settings = this.models.length ? settingsOf(params, this.models) : null;
    const zoom = Number(params.get("zoom"));
    const [x, y] = (params.get("at") ?? "0.5,0.5").split(",").map(Number);
    const divider = params.has("divider") ? Number(params.get("divider")) : 0.5;
    this.comparison.look({
      zoom: zoom > 0 && zoom <= 32 ? zoom : "fit",
      x: x >= 0 && x <= 1 ? x : 0.5,
      y: y >= 0 && y <= 1 ? y : 0.5,
      divider: divider >= 0 && divider <= 1 ? divider : 0.5,
      smooth: params.get("before") !== "pixels",
    });
    this.#show();
    this.update();
  }

  #save() {
    if (this.settings === null) return;
    const { zoom, x, y, divider, smooth } = this.comparison.view;
    const share = (value) => Math.round(value * 1e4) / 1e4;
    this.view.replaceSoon({
      ...paramsOf(this.settings, this.card),
      zoom: zoom === "fit" ? null : share(zoom),
      at: zoom === "fit" || (x === 0.5 && y === 0.5) ? null : `${share(x)},${share(y)}`,
      divider: divider === 0.5 ? null : share(divider),
      before: smooth ? null : "pixels",
    });
  }

  #set(changes) {
    const card = this.models.find(({ name }) => name === (changes.model ?? this.settings.model));
    const scale = Math.min(card.scale, changes.scale ?? this.settings.scale);
    this.settings = { ...this.settings, ...changes, scale };
    this.#save();
    this.#show();
    this.update();
  }

  /** A picture to enlarge. */
  async take(file) {
    const turn = ++this.#taking;
    this.cancel();
    const before = await decoded(file);
    if (turn !== this.#taking) {
      before?.close();
      return;
    }
    this.clearProblem();
    const first = this.file === null; // which is looked at as the URL says
    this.before?.close();
    this.before = before;
    this.file = file;
    this.#forgetResult();
    if (!first) this.comparison.look({ zoom: "fit", x: 0.5, y: 0.5, divider: 0.5 });
    this.#show();
    this.update();
    this.studio.announce(before ? `${file.name}: ${before.width} by ${before.height} pixels` : file.name);
  }

  #forgetResult() {
    this.after?.close();
    this.after = null;
    this.result = null;
  }

  #show() {
    if (this.settings === null) return;
    const size = this.result?.about ?? enlargedSize(this.before ?? { width: 1, height: 1 }, this.settings.scale);
    // What the browser shows of a file with several frames is its first.
    const before = this.after && this.result.settings.frame ? null : this.before;
    this.comparison.show(before, this.after, size);
  }

  /** Has it enlarged; what was under way is called off. */
  async enlarge() {
    this.cancel();
    const running = (this.#running = new AbortController());
    const signal = AbortSignal.any([this.signal, running.signal]);
    const { file, settings } = this;
    this.clearProblem();
    this.studio.announce("Enlarging");
    const began = performance.now();
    const options = { signal, seconds: this.limits.max_deadline_seconds, tell: (told) => this.#tell(told, running) };
    try {
      const answer = await enlarge(this.studio.api, file, fieldsOf(settings), options);
      const after = await decoded(answer.blob);
      if (signal.aborted) {
        after?.close();
        return;
      }
      this.#finished({ ...answer, settings, seconds: (performance.now() - began) / 1000 }, after);
    } catch (error) {
      if (!signal.aborted && !isAbort(error)) this.fail(error);
    } finally {
      if (this.#running === running) {
        this.#running = null;
        this.progress = null;
        this.update();
      }
    }
  }

  #finished(result, after) {
    this.#forgetResult();
    this.result = result;
    this.after = after;
    const { about, seconds } = result;
    const pixels = this.before ? this.before.width * this.before.height : about.width * about.height;
    pace.set(about.model, seconds / pixels);
    this.#show();
    this.studio.announce(`Enlarged to ${about.width} by ${about.height} pixels in ${duration(seconds)}`);
  }

  #tell(told, running) {
    if (this.#running !== running) return;
    const now = performance.now();
    const began = told.stage === this.progress?.stage ? this.progress.began : now;
    this.progress = { ...told, began, now };
    this.update();
  }

  /** Calls the enlargement off, on the server too. */
  cancel() {
    if (this.#running === null) return;
    this.#running.abort();
    this.#running = null;
    this.progress = null;
    this.studio.announce("Called off");
    this.update();
  }

  template() {
    if (this.settings === null) return html`<h1>Upscale</h1>${this.limits ? empty(NO_MODEL) : nothing}`;
    const { settings, card, models, file, before, limits, progress } = this;
    const size = before && enlargedSize(before, settings.scale);
    const expected = before ? pace.get(settings.model) * before.width * before.height : NaN;
    const refusal = file ? objection(limits, file, before, size, settings.format) : "";
    return html`<h1>Upscale</h1>
      <div class="split">
        <section class="controls" aria-label="Settings">
          ${imageInput({
            id: "upscale-file",
            label: "Picture",
            hint: "Drop it here, paste it, or choose a file.",
            take: (taken) => this.take(taken),
            refuse: (text) => this.fail(new Problem({ title: "No picture", detail: text })),
          })}
          ${controls({ settings, card, models, set: (changes) => this.#set(changes) })}
          ${beginning({ file, before, size, expected, refusal, progress, ...this.#acts })}
        </section>
        <section class="stage" aria-label="Picture" @dragover=${(event) => event.preventDefault()}
          @drop=${(event) => this.#dropped(event)}>
          ${before || this.after ? this.comparison.element : this.#nothingYet()}
          ${this.#below()}
        </section>
      </div>`;
  }

  #nothingYet() {
    return this.file
      ? html`<p class="empty">This browser cannot show ${this.file.name}; the server may read it all the same, and the
          result can be seen.</p>`
      : empty(EMPTY);
  }

  #dropped(event) {
    event.preventDefault();
    const file = event.dataTransfer.files[0];
    if (file) this.take(file);
  }

  #below() {
    const { file, result, settings, problem } = this;
    const idle = file && this.#running === null;
    return html`
      ${idle && FRAME_PROBLEMS.includes(problem?.slug)
        ? html`<p><button type="button" @click=${() => this.#firstFrame()}>Enlarge its first frame</button></p>`
        : nothing}
      ${idle && problem?.passing
        ? html`<p><button type="button" @click=${() => this.enlarge()}>Try again</button></p>`
        : nothing}
      ${result ? made({ ...result, name: file.name }) : nothing}
      ${file ? this.#commands(file.name, settings) : nothing}`;
  }

  #commands(name, settings) {
    const result = resultName(name, settings.scale, extensionOf(`image/${settings.format}`));
    const server = { url: ROOT.href.replace(/\/$/, ""), key: this.studio.api.hasKey };
    const announce = (text) => this.studio.announce(text);
    return copyAs({ commands: commandsOf(settings, name, result, server), announce });
  }

  #firstFrame() {
    this.#set({ frame: 0 });
    this.enlarge();
  }
}
