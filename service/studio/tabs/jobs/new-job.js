/** A job that is being made: what was dropped, what is to be done with it, and how it gets to the server. */

import { html, nothing } from "../../core/lit.js";
import { Problem, isAbort } from "../../core/problem.js";
import { bytes, counted } from "../../core/text.js";
import { hashOf } from "../../core/view.js";
import { draftOf } from "./draft.js";
import { chosen, filesIn } from "./dropped.js";
import { dropZone } from "./drop-zone.js";
import { form } from "./form.js";
import { sendingCard } from "./sending-card.js";
import { sendingOf } from "./sending.js";
import { NAMES, requestFrom, seedsFrom } from "./settings.js";
import { OPERATIONS } from "./words.js";

const URL_AFTER_MILLISECONDS = 100;
/** Until the server has said what it takes. */
const NO_LIMITS = {
  max_job_files: Infinity,
  max_job_upload_bytes: Infinity,
  max_upload_bytes: Infinity,
  max_job_items: Infinity,
};

export class NewJob {
  #writing = 0;
  #known = Promise.resolve(); // when the limits are
  values = {};
  secret = "";
  over = false;
  limits = NO_LIMITS;

  /**
   * @param {import("./tab.js").default} tab
   * @param {AbortSignal} signal ends with the view
   */
  constructor(tab, signal) {
    this.tab = tab;
    this.signal = signal;
    this.draft = draftOf(tab.studio);
    this.sending = sendingOf(tab.studio);
  }

  start() {
    const { tab, signal, sending } = this;
    this.changed();
    const on = (target, name, listener) => target.addEventListener(name, listener, { signal });
    if (sending.failure) this.#failed(); // while another tab was looked at
    on(sending, "change", () => tab.update());
    on(sending, "failed", () => this.#failed());
    on(sending, "made", ({ detail }) => this.#made(detail));
    // Files that miss the field would otherwise be opened in place of the page.
    on(document, "dragover", (event) => this.#dragged(event, true));
    on(document, "dragleave", (event) => event.relatedTarget === null && this.#dragged(event, false));
    on(document, "drop", (event) => this.#dropped(event));
    tab.attempt(() => tab.studio.models.ready(signal));
    this.#known = tab.attempt(async () => {
      this.limits = await tab.studio.api.json("v1/limits", { signal });
      tab.update();
    });
  }

  /** Settings are in the URL; files cannot be. */
  changed() {
    const { params } = this.tab.view;
    this.values = Object.fromEntries(
      NAMES.filter((name) => params.has(name)).map((name) => [name, params.get(name)]),
    );
    this.tab.update();
  }

  /** Whether it makes pictures of seeds rather than of files. */
  get fromSeeds() {
    return this.draft.empty && this.tab.view.params.get("new") === "seeds";
  }

  get operation() {
    if (this.fromSeeds) return "generate";
    const { op } = this.values;
    if (op === "translate" || op === "super-resolution") return op;
    return this.#models("upscaler").length || !this.#models("translator").length ? "super-resolution" : "translate";
  }

  /** The models that can do it. */
  get cards() {
    return this.#models(OPERATIONS[this.operation].kind);
  }

  get card() {
    return this.cards.find(({ name }) => name === this.values.model) ?? this.cards[0] ?? null;
  }

  /** Why it cannot be sent yet, in a sentence; nothing if it can. */
  get fault() {
    const { draft, limits } = this;
    if (!this.card) return `No model that is served now can ${OPERATIONS[this.operation].verb.toLowerCase()}.`;
    if (this.fromSeeds) {
      const { fault, count } = seedsFrom(this.values.seeds ?? "0-99");
      if (fault) return `${fault}.`;
      return count > limits.max_job_items
        ? tooMuch(counted(count, "seed"), counted(limits.max_job_items, "item"))
        : "";
    }
    if (draft.reading) return "Folders are still being looked through.";
    if (draft.count > limits.max_job_files) {
      const zip = "A zip is one file; or send them in several jobs.";
      return `${tooMuch(counted(draft.count, "file"), counted(limits.max_job_files, "file"))} ${zip}`;
    }
    if (draft.bytes <= limits.max_job_upload_bytes) return "";
    return `${tooMuch(bytes(draft.bytes), bytes(limits.max_job_upload_bytes))} Send them in several jobs.`;
  }

  template() {
    if (this.sending.now) return sendingCard(this.sending, this.draft);
    const open = !this.draft.empty || this.fromSeeds || this.draft.leftOut.length || this.draft.reading;
    return html`${dropZone(this)} ${open ? form(this) : nothing}`;
  }

  /** A setting was changed. */
  set = (name, value) => {
    const values = { ...this.values, [name]: String(value ?? "") };
    if (name === "op") delete values.model;
    this.values = Object.fromEntries(Object.entries(values).filter(([, given]) => given !== ""));
    clearTimeout(this.#writing);
    this.#writing = setTimeout(() => this.#write(), URL_AFTER_MILLISECONDS);
    this.tab.update();
  };

  setSecret = (secret) => {
    this.secret = secret;
  };

  fromThese = (files) => this.take(() => chosen(files));

  beginSeeds = () => {
    this.draft.clear();
    location.hash = hashOf(this.tab.view.tab, new URLSearchParams({ new: "seeds", seeds: "0-99" }));
  };

  discard = () => {
    this.draft.clear();
    this.tab.clearProblem();
    clearTimeout(this.#writing);
    this.tab.view.replace({});
    this.changed();
    this.tab.root.querySelector("#folder")?.focus();
  };

  send = (event) => {
    event?.preventDefault();
    if (this.fault || this.sending.now) return;
    this.tab.clearProblem();
    const { folder } = this.draft;
    const values = { ...(folder && { title: folder }), ...(this.fromSeeds && { seeds: "0-99" }), ...this.values };
    const request = requestFrom(this.operation, this.card, values, this.secret);
    this.sending.send(request, this.fromSeeds ? null : () => this.draft.form(request));
  };

  /** Puts the settings into the URL; a browser minds one that changes with every step of a slider. */
  #write() {
    if (this.signal.aborted) return;
    const others = Object.entries(Object.fromEntries(this.tab.view.params)).filter(
      ([name]) => !NAMES.includes(name),
    );
    this.tab.view.replace({ ...Object.fromEntries(others), ...this.values });
  }

  #models(kind) {
    return this.tab.studio.models.ofKind(kind);
  }

  /** Takes files; see `Draft.take`. */
  take(files) {
    return this.tab.attempt(async () => {
      try {
        await this.#known;
        await this.draft.take(files, this.limits.max_upload_bytes, () => this.tab.update());
      } catch (error) {
        if (!isAbort(error))
          throw new Problem({
            title: "A file cannot be read",
            detail: `${error.message ?? error} It may have been moved meanwhile.`,
          });
      }
      const { images, zips, leftOut } = this.draft;
      const told = [
        images.length && counted(images.length, "image"),
        zips.length && counted(zips.length, "archive"),
        leftOut.length && `${leftOut.length} left out`,
      ];
      this.tab.studio.announce(told.filter(Boolean).join(", ") || "There was no file in it");
    });
  }

  #dragged(event, over) {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = this.sending.now ? "none" : "copy";
    if (this.over === over) return;
    this.over = over;
    this.tab.update();
  }

  #dropped(event) {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    this.over = false;
    this.tab.update();
    if (this.sending.now) return;
    this.take(filesIn(event.dataTransfer));
  }

  #failed() {
    this.tab.fail(this.sending.failure);
    this.sending.failure = null;
  }

  #made(job) {
    this.secret = "";
    location.hash = hashOf(this.tab.view.tab, new URLSearchParams({ job: job.id }));
  }
}

const tooMuch = (these, most) => `These are ${these}, and the server takes ${most} in one job.`;
