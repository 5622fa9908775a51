/** Upscale: a picture in, a larger one out, and both beside each other down to the pixel. */

import { html, nothing } from "../../core/lit.js";
import { ROOT } from "../../core/api.js";
import { download, extensionOf } from "../../core/files.js";
import { Problem, isAbort } from "../../core/problem.js";
import { Tab } from "../../core/tab.js";
import { bytes, duration, number } from "../../core/text.js";
import { progress, working } from "../../components/controls.js";
import { copyAs } from "../../components/copy-as.js";
import { imageInput, takePasted } from "../../components/image-input.js";
import { empty } from "../../components/notice.js";
import { Comparison } from "./comparison.js";
import { controls } from "./controls.js";
import { enlarge } from "./enlarge.js";
import { Limits } from "./limits.js";
import { decoded } from "./pictures.js";
import { commandsOf, enlargedSize, fieldsOf, paramsOf, resultName, settingsOf } from "./settings.js";

const FRAME_PROBLEMS = ["image-animated", "frame-out-of-range"];
const URL_PAUSE = 250; // milliseconds; browsers refuse to have it changed all the time

/** What has been learnt of this server outlasts the tab. */
const limits = new Limits();
const pace = new Map(); // seconds an input pixel, by model

export default class extends Tab {
  static styles = ["tab.css"];

  comparison = new Comparison();
  settings = null;
  file = null;
  before = null;
  after = null;
  /** The enlarged file, with what it was made with. */
  result = null;
  /** Of the call under way. */
  progress = null;
  #running = null;
  #taking = 0;
  #saving = 0;

  async start() {
    await this.studio.models.ready(this.signal);
    this.on(this.studio.models, "change", () => this.#read());
    this.on(this.comparison, "view", () => this.#saveSoon());
    takePasted((file) => this.take(file), this.signal);
    this.#read();
  }

  changed() {
    this.#read();
  }

  stop() {
    super.stop(); // and with it the call under way
    clearTimeout(this.#saving);
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
    const [x, y] = (params.get("at") ?? "").split(",").map(Number);
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

  #saveSoon() {
    clearTimeout(this.#saving);
    this.#saving = setTimeout(() => this.#save(), URL_PAUSE);
  }

  #save() {
    if (this.settings === null) return;
    const { zoom, x, y, divider, smooth } = this.comparison.view;
    const share = (value) => Math.round(value * 1e4) / 1e4;
    this.view.replace({
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
    this.before?.close();
    this.before = before;
    this.file = file;
    this.#forgetResult();
    this.comparison.look({ zoom: "fit", x: 0.5, y: 0.5, divider: 0.5 });
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
    if (this.settings === null || (this.before === null && this.after === null)) return;
    const size = this.result?.about ?? enlargedSize(this.before, this.settings.scale);
    this.comparison.show(this.before, this.after, size);
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
    try {
      const tell = (told) => this.#tell(told, running);
      const made = await enlarge(this.studio.api, file, fieldsOf(settings), { signal, tell });
      const after = await decoded(made.blob);
      if (signal.aborted) {
        after?.close();
        return;
      }
      this.#finished({ ...made, settings, seconds: (performance.now() - began) / 1000 }, after);
    } catch (error) {
      if (error instanceof Problem) limits.learn(error, settings.format);
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
    if (this.settings === null) {
      return html`<h1>Upscale</h1>${this.studio.models.all.length ? empty("This server has no model that enlarges pictures.") : nothing}`;
    }
    return html`<h1>Upscale</h1>
      <div class="split">
        <section class="controls" aria-label="Settings">
          ${imageInput({
            id: "upscale-file",
            label: "Picture",
            hint: "Drop it here, paste it, or choose a file.",
            take: (file) => this.take(file),
            refuse: (text) => this.fail(new Problem({ title: "No picture", detail: text })),
          })}
          ${controls({ settings: this.settings, card: this.card, models: this.models, set: (changes) => this.#set(changes) })}
          ${this.#start()}
        </section>
        <section class="stage" aria-label="Picture" @dragover=${(event) => event.preventDefault()}
          @drop=${(event) => this.#dropped(event)}>
          ${this.#work()}
          ${this.before || this.after ? this.comparison.element : this.#nothingYet()}
          ${this.#facts()}
        </section>
      </div>`;
  }

  #start() {
    const { before, file, settings } = this;
    const size = before && enlargedSize(before, settings.scale);
    const objection = file ? limits.objection(file, before, size, settings.format) : "";
    const expected = before && pace.get(settings.model) * before.width * before.height;
    return html`<div class="begin">
      ${size
        ? html`<p id="upscale-sizes">${before.width} × ${before.height} → <strong>${size.width} × ${size.height}</strong>
            ${expected ? html`<small>about ${duration(expected)}, at the pace of the last one</small>` : nothing}</p>`
        : nothing}
      ${objection ? html`<p class="notice" id="upscale-objection">${objection}</p>` : nothing}
      <button type="button" class="primary" id="enlarge" ?disabled=${file === null || this.#running !== null}
        @click=${() => this.enlarge()}>Enlarge</button>
    </div>`;
  }

  #work() {
    if (this.progress === null) return nothing;
    const { stage, done, of, began, now } = this.progress;
    const cancel = () => this.cancel();
    if (stage === "sending") return html`<div id="working">${working(`Sending ${bytes(this.file.size)}…`, cancel)}</div>`;
    const left = done > 0 ? (((now - began) / done) * (of - done)) / 1000 : 0;
    const text =
      stage === "computing"
        ? `${done} of ${of} tiles${done > 1 && left > 1 ? `, about ${duration(left)} left` : ""}`
        : `Receiving ${bytes(done)} of ${bytes(of)}`;
    return html`<div id="working" class="row" data-stage=${stage}>
      ${progress({ label: text, value: done, max: of })}
      <button type="button" class="quiet" @click=${cancel}>Cancel</button>
    </div>`;
  }

  #nothingYet() {
    return this.file
      ? html`<p class="empty">This browser cannot show ${this.file.name}; the server may read it all the same, and the
          result can be seen.</p>`
      : empty("Drop a picture here. What the model makes of it is shown beside it, down to single pixels.");
  }

  #dropped(event) {
    event.preventDefault();
    const file = event.dataTransfer.files[0];
    if (file) this.take(file);
  }

  #facts() {
    const { file, result, settings } = this;
    const problem = this.problem;
    const frames = problem && FRAME_PROBLEMS.includes(problem.slug);
    const retry = problem?.passing && file && this.#running === null;
    return html`
      ${frames ? html`<p class="row"><button type="button" @click=${() => this.#firstFrame()}>Take its first frame</button></p>` : nothing}
      ${retry ? html`<p class="row"><button type="button" @click=${() => this.enlarge()}>Try again</button></p>` : nothing}
      ${result ? this.#made(result) : nothing}
      ${file
        ? copyAs({
            commands: commandsOf(settings, file.name, resultName(file.name, settings.scale, extensionOf(`image/${settings.format}`)), {
              url: ROOT.href.replace(/\/$/, ""),
              key: this.studio.api.hasKey,
            }),
            announce: (text) => this.studio.announce(text),
          })
        : nothing}`;
  }

  #firstFrame() {
    this.#set({ frame: 0 });
    this.enlarge();
  }

  #made({ blob, about, settings, seconds }) {
    const { queue, infer } = about.milliseconds;
    const name = resultName(this.file.name, settings.scale, extensionOf(about.media_type));
    return html`<div class="row made">
      <button type="button" class="primary" id="download" @click=${() => download(blob, name)}>Download</button>
      <p id="made"><strong>${about.width} × ${about.height}</strong> · ${about.media_type.split("/")[1].toUpperCase()},
        ${bytes(blob.size)} · ${duration(seconds)}
        <small>(${duration(infer / 1000)} computing${queue > 50 ? `, ${duration(queue / 1000)} waiting for its turn` : ""})
        · ${about.model}, ${number(settings.scale)} times</small></p>
    </div>`;
  }
}
