/** All outputs of a job as one archive. */

import { ROOT } from "../../core/api.js";
import { download } from "../../core/files.js";
import { html, nothing } from "../../core/lit.js";
import { Problem, isAbort } from "../../core/problem.js";
import { bytes } from "../../core/text.js";
import { working } from "../../components/controls.js";

export class Archive {
  #fetching = null;
  #come = 0;

  /**
   * @param {import("../../core/api.js").Api} api
   * @param {AbortSignal} signal
   * @param {{changed: () => void, failed: (error: Error) => void}} listener
   */
  constructor(api, signal, { changed, failed }) {
    this.api = api;
    this.changed = changed;
    this.failed = failed;
    signal.addEventListener("abort", () => this.#fetching?.abort());
  }

  /** A link, so that the browser writes it to disk as it comes; a link brings no key, so with one it is fetched. */
  button(job) {
    const name = `${job.id}.zip`;
    if (!this.api.hasKey) {
      return html`<a
        class="button primary"
        id="archive"
        href=${new URL(job.links.archive.slice(1), ROOT).href}
        download=${name}
        >Download all (zip)</a
      >`;
    }
    return html`<button
      type="button"
      class="primary"
      id="archive"
      ?disabled=${this.#fetching !== null}
      @click=${() => this.#fetch(job, name)}
    >
      Download all (zip)
    </button>`;
  }

  template() {
    if (this.#fetching === null) return nothing;
    return working(`Fetching the archive: ${bytes(this.#come)}`, () => this.#fetching?.abort());
  }

  async #fetch(job, name) {
    this.#fetching = new AbortController();
    this.#come = 0;
    this.changed();
    try {
      const response = await this.api.call(job.links.archive.slice(1), { signal: this.#fetching.signal });
      const counted = new TransformStream({
        transform: (part, controller) => {
          this.#come += part.byteLength;
          this.changed();
          controller.enqueue(part);
        },
      });
      const blob = await new Response(response.body.pipeThrough(counted)).blob().catch((error) => {
        throw isAbort(error)
          ? error
          : new Problem({ title: "The archive broke off", detail: "Not all of it came; fetch it again." });
      });
      download(new Blob([blob], { type: "application/zip" }), name);
    } catch (error) {
      if (!isAbort(error)) this.failed(error);
    } finally {
      this.#fetching = null;
      this.changed();
    }
  }
}
