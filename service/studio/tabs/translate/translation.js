/** The newest translation: asked for, shown when it is there, kept when the next one fails. */

import { BlobUrls } from "../../core/files.js";
import { Latest } from "../../core/latest.js";
import { fieldsOf } from "./settings.js";

const SLOW = 400; // milliseconds before it is said that one is under way

/**
 * What is translated.
 *
 * @typedef {object} Input
 * @property {import("./settings.js").Settings} settings
 * @property {File|null} file null of a drawing
 * @property {string} name
 * @property {() => Promise<Blob>} image its bytes; of a drawing, as it is by then
 */

/** Events: `change`, `arrived` when a new one is on screen, `failed` (detail: the error). */
export class Translation extends EventTarget {
  /** The last good one: its `Input`, `blob`, `seconds`, and once it is on screen `width` and `height`. */
  result = null;
  /** Whether one is under way that takes long. */
  slow = false;
  #api;
  #wanted = null;
  #urls = new BlobUrls();
  #outdated = []; // blobs on screen until a newer one is there
  #latest = new Latest(
    (input, signal) => this.#run(input, signal),
    (error) => this.dispatchEvent(new CustomEvent("failed", { detail: error })),
  );

  /** @param {import("../../core/api.js").Api} api */
  constructor(api) {
    super();
    this.#api = api;
  }

  /** A URL of the result for an image. */
  get url() {
    return this.#urls.of(this.result.blob);
  }

  /**
   * Wants one of an input. What is under way for other settings or another file is called off; that of the same
   * drawing ends, since it shows what was drawn just now.
   *
   * @param {Input} input
   */
  want(input) {
    const before = this.#wanted;
    this.#wanted = input;
    this.#latest.want(input, before?.settings !== input.settings || before.file !== input.file);
  }

  /** Calls off what is under way. */
  cancel() {
    this.#wanted = null;
    this.#latest.stop();
  }

  /** Calls off, and forgets the result. */
  forget() {
    this.cancel();
    this.#urls.clear();
    this.#outdated = [];
    if (this.result === null) return;
    this.result = null;
    this.#changed();
  }

  /** Whether the result is of something else than an input. */
  staleFor({ settings, file }) {
    if (this.result === null) return false;
    const { settings: made, file: of } = this.result;
    return made.model !== settings.model || made.source !== settings.source || of !== file;
  }

  /** The result is on screen: those before it are not needed any more. */
  shown(width, height) {
    for (const blob of this.#outdated.splice(0)) this.#urls.drop(blob);
    Object.assign(this.result, { width, height });
    this.#changed();
    this.dispatchEvent(new Event("arrived"));
  }

  async #run(input, signal) {
    const began = performance.now();
    const timer = setTimeout(() => this.#become(true), SLOW);
    const body = async () => form(input, await input.image());
    try {
      const { blob } = await this.#api.blob("v1/translate", { method: "POST", body, signal });
      if (signal.aborted) return;
      const { width, height, blob: old } = this.result ?? {};
      if (old) this.#outdated.push(old);
      this.result = { width, height, ...input, blob, seconds: (performance.now() - began) / 1000 };
      this.#changed();
    } finally {
      clearTimeout(timer);
      this.#become(false);
    }
  }

  #become(slow) {
    if (slow === this.slow) return;
    this.slow = slow;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

function form({ settings, name }, image) {
  const body = new FormData();
  body.append("image", image, name);
  for (const [field, value] of Object.entries(fieldsOf(settings))) body.append(field, value);
  return body;
}
