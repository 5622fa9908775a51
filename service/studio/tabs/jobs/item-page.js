/** The items of a job that are on screen: one page of them, kept up with what is told of them. */

import { isAbort } from "../../core/problem.js";
import { Latest } from "../../core/latest.js";
import { sleep } from "../../core/api.js";

export const PAGE = 50;
const LOOK_AGAIN_SECONDS = 1;

export const FILTERS = {
  "": { text: "All", states: null },
  failed: { text: "Failed", states: ["failed"] },
  running: { text: "Running", states: ["running"] },
  queued: { text: "Waiting", states: ["queued"] },
  succeeded: { text: "Done", states: ["succeeded"] },
  cancelled: { text: "Cancelled", states: ["cancelled"] },
};

export class ItemPage {
  items = null;
  /** Number of the first item of the page after; null on the last. */
  next = null;
  #told = null; // what came while a page was asked for: newer than the page, or told again soon
  #loading;

  /**
   * @param {import("../../core/api.js").Api} api
   * @param {string} job its id
   * @param {{changed: () => void, failed: (error: Error) => void}} listener
   */
  constructor(api, job, { changed, failed }) {
    this.api = api;
    this.job = job;
    this.changed = changed;
    this.show = "";
    this.first = 0;
    this.#loading = new Latest((slowly, signal) => this.#load(slowly, signal), failed);
  }

  /** Another page: of the items in some state, from a number on. */
  turnTo(show, first) {
    if (this.items !== null && show === this.show && first === this.first) return;
    this.show = show;
    this.first = first;
    this.items = null;
    this.changed();
    this.#loading.want(false, true);
  }

  /** All of it anew, soon. */
  refresh() {
    this.#loading.want(true);
  }

  stop() {
    this.#loading.stop();
  }

  /** An item is as it says now. */
  tell(item) {
    this.#told?.set(item.n, item);
    if (this.items === null) return;
    const at = this.items.findIndex(({ n }) => n === item.n);
    const belongs = this.#belongs(item);
    if (at >= 0 && belongs) {
      this.items[at] = item;
      this.changed();
    } else if (at >= 0 || (belongs && item.n >= this.first && (this.next === null || item.n < this.next))) {
      this.refresh();
    }
  }

  #belongs({ state }) {
    return FILTERS[this.show].states?.includes(state) ?? true;
  }

  async #load(slowly, signal) {
    // Items come and go by the hundred in a job that runs: the page is asked for once a second at most.
    if (slowly) await sleep(LOOK_AGAIN_SECONDS, signal);
    const query = new URLSearchParams({ limit: PAGE, first: this.first });
    const { states } = FILTERS[this.show];
    if (states) query.set("state", states.join(","));
    this.#told = new Map();
    try {
      const { data, next } = await this.api.json(`v1/jobs/${this.job}/items?${query}`, { signal });
      signal.throwIfAborted();
      this.items = data.map((item) => this.#told.get(item.n) ?? item).filter((item) => this.#belongs(item));
      this.next = next === null ? null : data.at(-1).n + 1;
    } finally {
      this.#told = null;
    }
    this.changed();
  }
}
