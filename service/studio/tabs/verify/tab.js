/** Verify: what made a file, and whether its pixels are untouched. */

import { html, nothing, repeat } from "../../core/lit.js";
import { BlobUrls } from "../../core/files.js";
import { Problem } from "../../core/problem.js";
import { Tab } from "../../core/tab.js";
import { bytes } from "../../core/text.js";
import { imageInput, takePasted } from "../../components/image-input.js";
import { empty } from "../../components/notice.js";
import { card } from "./card.js";
import { Check } from "./check.js";
import { headline } from "./verdict.js";

const FORM_BYTES = 2048; // a form is a little larger than the files in it
const EMPTY = `Drop pictures here. Those that a ganserve made say which model, seed and parameters made them; whether
  that is true is found out by making them again.`;

export default class extends Tab {
  static styles = ["tab.css"];

  checks = [];
  again = true;
  limits = null;
  #urls = new BlobUrls();
  #busy = false;

  async start() {
    const { api, models } = this.studio;
    takePasted((file) => this.take([file]), this.signal);
    this.on(models, "change", () => this.update());
    this.#read();
    [this.limits] = await Promise.all([api.json("v1/limits", { signal: this.signal }), models.ready(this.signal)]);
    this.update();
    this.#next();
  }

  changed() {
    this.#read();
  }

  stop() {
    super.stop(); // and with it what is looked at
    this.#urls.clear();
  }

  #read() {
    this.again = this.view.params.get("again") !== "no";
    this.update();
  }

  /** Files to look at, one after the other. */
  take(files) {
    this.clearProblem();
    for (const file of files) {
      const check = new Check(file, this.signal);
      this.on(check, "change", () => this.#changed(check));
      this.checks.unshift(check);
    }
    this.update();
    this.#next();
  }

  #changed(check) {
    this.update();
    const { name } = check.file;
    if (check.state === "failed") this.studio.announce(`${name}: ${check.problem.title}`);
    if (check.state === "done") this.studio.announce(`${name}: ${headline(check.report).title}`);
  }

  async #next() {
    if (this.#busy || this.limits === null) return;
    this.#busy = true;
    try {
      for (;;) {
        const check = this.checks.findLast(({ state }) => state === "waiting");
        if (!check) return;
        await this.attempt(() => this.#look(check));
        if (check.state === "waiting") this.remove(check); // called off
      }
    } finally {
      this.#busy = false;
    }
  }

  async #look(check) {
    const most = this.limits.max_upload_bytes;
    if (check.file.size + FORM_BYTES > most) {
      const detail = `This server takes files of up to ${bytes(most)}; this one has ${bytes(check.file.size)}.`;
      check.refuse(new Problem({ type: "studio/too-large", title: "The file is too large", detail }));
      return;
    }
    await check.look(this.studio.api, { again: this.again, seconds: this.limits.max_deadline_seconds });
  }

  makeAgain(check) {
    const { api } = this.studio;
    const seconds = this.limits.max_deadline_seconds;
    const again = check.report === null ? () => this.#look(check) : () => check.makeAgain(api, seconds);
    return this.attempt(again);
  }

  remove(check) {
    check.cancel();
    this.#urls.drop(check.file);
    this.checks = this.checks.filter((one) => one !== check);
    this.update();
  }

  #removeAll() {
    for (const check of [...this.checks]) this.remove(check);
  }

  #from(check, file) {
    check.source = file;
    this.makeAgain(check);
  }

  #setAgain(again) {
    this.again = again;
    this.view.replace({ again: again ? null : "no" });
    this.update();
  }

  #dropped(event) {
    event.preventDefault();
    this.take([...event.dataTransfer.files]);
  }

  template() {
    return html`<h1>Verify</h1>
      <div class="split">
        <section class="controls" aria-label="Files">
          ${imageInput({
            id: "verify-files",
            label: "Pictures",
            hint: "Drop them here, paste one, or choose files. They are looked at and not kept.",
            takeAll: (files) => this.take(files),
            refuse: (text) => this.fail(new Problem({ title: "No picture", detail: text })),
          })}
          <label class="check"><input type="checkbox" id="verify-again" .checked=${this.again}
            @change=${(event) => this.#setAgain(event.target.checked)}>Make each again and compare</label>
          <small>Where the model is still served as it was; that takes as long as making it took.</small>
          ${this.checks.length > 1
            ? html`<button type="button" @click=${() => this.#removeAll()}>Remove all</button>`
            : nothing}
        </section>
        <section class="stage" aria-label="What was found" @dragover=${(event) => event.preventDefault()}
          @drop=${(event) => this.#dropped(event)}>
          ${this.checks.length ? repeat(this.checks, (check) => check, (check) => this.#card(check)) : empty(EMPTY)}
        </section>
      </div>`;
  }

  #card(check) {
    return card(check, {
      url: this.#urls.of(check.file),
      card: this.studio.models.named(check.report?.model?.name),
      key: this.studio.api.hasKey,
      again: (one) => this.makeAgain(one),
      remove: (one) => this.remove(one),
      from: (one, file) => this.#from(one, file),
      announce: (text) => this.studio.announce(text),
    });
  }
}
