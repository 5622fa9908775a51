/** Work of which only the newest counts, as what a slider asks for while it moves: nothing stale is ever queued. */

import { isAbort } from "./problem.js";

export class Latest {
  #running = null;
  #next = null;

  /**
   * @param {(wanted: any, signal: AbortSignal) => Promise<void>} work one run of it
   * @param {(error: Error) => void} failed told of errors, except of being called off
   */
  constructor(work, failed) {
    this.work = work;
    this.failed = failed;
  }

  /** Whether something runs. */
  get busy() {
    return this.#running !== null;
  }

  /** Whether something newer is wanted than what runs: work of several calls may end early then. */
  get outdated() {
    return this.#next !== null;
  }

  /**
   * Wants something: at once if nothing runs, else when that has ended; whatever was wanted in between never runs.
   *
   * @param {any} wanted passed to `work`
   * @param {boolean} [instead] calls off what runs, rather than letting it end
   */
  want(wanted, instead = false) {
    this.#next = { wanted };
    if (instead) this.#running?.abort();
    if (this.#running === null) this.#run();
  }

  /** Calls off what runs and forgets what is wanted. */
  stop() {
    this.#next = null;
    this.#running?.abort();
  }

  async #run() {
    while (this.#next !== null) {
      const { wanted } = this.#next;
      this.#next = null;
      this.#running = new AbortController();
      try {
        await this.work(wanted, this.#running.signal);
      } catch (error) {
        if (!isAbort(error)) this.failed(error);
      }
    }
    this.#running = null;
  }
}
