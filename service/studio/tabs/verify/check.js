/** One file that is looked at: first what it says, then, if that can be done, the picture made again. */

import { Problem, isAbort } from "../../core/problem.js";

const AGAIN_SECONDS = 650; // the server's own longest deadline ends it before

/** States: "waiting", "looking", "again", "done", "failed". Events: `change`. */
export class Check extends EventTarget {
  state = "waiting";
  report = null;
  problem = null;
  #called = new AbortController();

  /**
   * @param {File} file
   * @param {AbortSignal} signal
   */
  constructor(file, signal) {
    super();
    this.file = file;
    /** The image that it was made of, once that is given. */
    this.source = null;
    this.signal = AbortSignal.any([signal, this.#called.signal]);
  }

  /** Calls it off. */
  cancel() {
    this.#called.abort();
  }

  get working() {
    return this.state === "looking" || this.state === "again";
  }

  /** Whether its recipe can be tried: the model is there as it was, and nothing is missing. */
  get canBeMadeAgain() {
    const { report } = this;
    const missing = report?.recipe && "source_sha256" in report.recipe && this.source === null;
    return Boolean(report?.found && report.model?.same_digest && !report.reproduced.performed && !missing);
  }

  /** Whether it lacks the picture that it was made of. */
  get wantsSource() {
    const { report } = this;
    return Boolean(report?.recipe?.source_sha256 && report.model?.same_digest && !report.reproduced.performed);
  }

  /**
   * @param {import("../../core/api.js").Api} api
   * @param {object} options
   * @param {boolean} options.again whether to have it made again at once, where that can be done
   * @param {number} options.seconds how long the server may take for that
   */
  async look(api, { again, seconds }) {
    await this.#ask(api, "looking", {});
    if (again && this.canBeMadeAgain) await this.makeAgain(api, seconds);
  }

  /** Says why it is not even sent. */
  refuse(problem) {
    this.problem = problem;
    this.#become("failed");
  }

  async makeAgain(api, seconds) {
    const prefer = `wait=${Math.floor(seconds)}`;
    await this.#ask(api, "again", { fields: { reproduce: "true" }, headers: { prefer }, limit: AGAIN_SECONDS });
  }

  async #ask(api, state, { fields = {}, headers, limit }) {
    this.problem = null;
    this.#become(state);
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    form.append("image", this.file, "image");
    if (this.source && state === "again") form.append("source", this.source, "source");
    try {
      this.report = await api.json("v1/verify", { body: form, headers, limit, signal: this.signal });
      this.#become("done");
    } catch (error) {
      if (isAbort(error)) return;
      if (!(error instanceof Problem)) throw error;
      this.problem = error;
      this.#become(this.report ? "done" : "failed");
    }
  }

  #become(state) {
    this.state = state;
    this.dispatchEvent(new Event("change"));
  }
}
