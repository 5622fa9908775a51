/** Whether the server can be reached and is ready: asked only while it is in doubt. */

import { ROOT } from "./api.js";

const PAUSES_SECONDS = [1, 1, 2, 2, 3, 5];

/** Events: `change`; `back` when it is ready again after it was not. */
export class Connection extends EventTarget {
  /** "ready", "not-ready" (it answers, but Triton serves nothing yet) or "unreachable". */
  state = "ready";
  #timer = 0;
  #tries = 0;

  /** @param {import("./api.js").Api} api */
  constructor(api) {
    super();
    this.waiting = null;
    api.addEventListener("unreachable", () => this.doubt("unreachable"));
    api.addEventListener("reached", () => this.#waitsFor(null));
    api.addEventListener("waiting", ({ detail }) => {
      this.#waitsFor(detail);
      if (["triton-unavailable", "not-ready", "shutting-down"].includes(detail.problem.slug)) this.doubt("not-ready");
    });
    addEventListener("online", () => this.state !== "ready" && this.#ask());
  }

  /** Something says that it is away: asks until it is ready. */
  doubt(state) {
    if (this.state === "ready") {
      this.#tries = 0;
      this.#later();
    }
    this.#become(state);
  }

  #later() {
    clearTimeout(this.#timer);
    const pause = PAUSES_SECONDS[Math.min(this.#tries++, PAUSES_SECONDS.length - 1)];
    this.#timer = setTimeout(() => this.#ask(), pause * 1000);
  }

  async #ask() {
    let state;
    try {
      const response = await fetch(new URL("readyz", ROOT), { signal: AbortSignal.timeout(5000), credentials: "omit" });
      state = response.ok ? "ready" : "not-ready";
    } catch {
      state = "unreachable";
    }
    this.#become(state);
    if (state !== "ready") this.#later();
    else this.dispatchEvent(new Event("back"));
  }

  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("change"));
  }

  #waitsFor(detail) {
    if (detail === null && this.waiting === null) return;
    this.waiting = detail === null ? null : { ...detail, until: performance.now() + detail.seconds * 1000 };
    this.dispatchEvent(new Event("change"));
  }
}
