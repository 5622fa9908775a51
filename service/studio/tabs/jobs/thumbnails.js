/** Small pictures of outputs, fetched when they come on screen, a few at a time. */

import { BlobUrls } from "../../core/files.js";
import { isAbort } from "../../core/problem.js";

const AT_A_TIME = 3;
const LARGEST_BYTES = 600_000; // larger ones are fetched when asked for, not because somebody scrolls past
const MOST_KEPT = 150;

export class Thumbnails {
  #urls = new BlobUrls();
  #kept = new Map(); // by address: a blob, or null while it is fetched
  #line = [];
  #running = 0;
  #seen = new IntersectionObserver((entries) => entries.forEach((entry) => this.#appeared(entry)), {
    rootMargin: "200px",
  });

  /**
   * @param {import("../../core/api.js").Api} api
   * @param {AbortSignal} signal
   * @param {() => void} changed told when one has arrived
   */
  constructor(api, signal, changed) {
    this.api = api;
    this.signal = signal;
    this.changed = changed;
    signal.addEventListener("abort", () => {
      this.#seen.disconnect();
      this.#urls.clear();
      this.#line = [];
    });
  }

  /** For `ref`: an element with `data-output` and `data-size` whose picture is wanted once it is on screen. */
  watch = (element) => element && this.#seen.observe(element);

  /** The URL of an output's picture, if it has come. */
  url(output) {
    const blob = this.#kept.get(keyOf(output));
    return blob ? this.#urls.of(blob) : null;
  }

  /** An output's file, from here if it has come. */
  async blob(output) {
    const kept = this.#kept.get(keyOf(output));
    if (kept) return kept;
    const { blob } = await this.api.blob(output.href.slice(1), { signal: this.signal });
    if (output.size <= LARGEST_BYTES) this.#keep(keyOf(output), blob);
    return blob;
  }

  #appeared({ isIntersecting, target }) {
    const { output } = target;
    if (!isIntersecting || !output || output.size > LARGEST_BYTES || this.#kept.has(keyOf(output))) return;
    this.#kept.set(keyOf(output), null);
    this.#line.push(output);
    this.#fetch();
  }

  async #fetch() {
    if (this.#running >= AT_A_TIME) return;
    const output = this.#line.pop(); // what was scrolled to last is on screen
    if (!output || this.signal.aborted) return;
    this.#running++;
    try {
      const { blob } = await this.api.blob(output.href.slice(1), { signal: this.signal });
      this.#keep(keyOf(output), blob);
    } catch (error) {
      // A thumbnail is no more than that: whoever opens the picture is told why it cannot be had.
      if (!isAbort(error)) this.#kept.delete(keyOf(output));
    } finally {
      this.#running--;
      this.#fetch();
    }
  }

  #keep(key, blob) {
    if (this.signal.aborted) return;
    this.#kept.set(key, blob);
    for (const [old, kept] of this.#kept) {
      if (this.#kept.size <= MOST_KEPT) break;
      if (kept === null) continue;
      this.#urls.drop(kept);
      this.#kept.delete(old);
    }
    this.changed();
  }
}

/** An output that was made anew has other pixels or another address. */
const keyOf = ({ href, pixels_sha256: pixels }) => `${href}#${pixels}`;
