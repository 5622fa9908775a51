/**
 * What every tab is: an element below `main`, a template of it, and whatever is to end when another tab is chosen.
 */

import { html, render } from "./lit.js";
import { Problem, isAbort } from "./problem.js";
import { View } from "./view.js";
import { notice } from "../components/notice.js";

/**
 * A tab's module exports a class of these as `default`, and in `static styles` the names of its style sheets.
 * `template()` is drawn anew after `update()`, once a frame at most.
 */
export class Tab {
  #drawing = false;
  #ended = new AbortController();

  /**
   * @param {string} id of the tab, as in the URL
   * @param {HTMLElement} root where it is drawn
   * @param {import("../main.js").Studio} studio api, models, favourites, announce(), openPicture()
   */
  constructor(id, root, studio) {
    this.root = root;
    this.studio = studio;
    this.view = new View(id);
    this.problem = null;
  }

  /** Aborted when the tab is left; every call of the tab takes it, or a signal that follows it. */
  get signal() {
    return this.#ended.signal;
  }

  /** Begins: what is asked for first. Errors of it are shown. */
  async start() {}

  /** The address bar was changed by hand, by a link or by the history. */
  changed() {}

  /** What it looks like now. */
  template() {
    return html``;
  }

  /** Draws the template soon. */
  update() {
    if (this.#drawing || this.signal.aborted) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      if (!this.signal.aborted) render(html`${this.#trouble()}${this.template()}`, this.root);
    });
  }

  /** Listens until the tab is left. */
  on(target, name, listener) {
    target.addEventListener(name, listener, { signal: this.signal });
  }

  /** Shows what went wrong, above the tab, until it is closed or `clearProblem()`. */
  fail(error) {
    if (isAbort(error)) return;
    if (!(error instanceof Problem)) console.error(error);
    this.problem = error instanceof Problem ? error : new Problem({ title: "This page has a fault", detail: String(error) });
    this.update();
  }

  clearProblem() {
    if (this.problem === null) return;
    this.problem = null;
    this.update();
  }

  /** Does something and shows what goes wrong. */
  async attempt(work) {
    try {
      return await work();
    } catch (error) {
      this.fail(error);
      return undefined;
    }
  }

  /** Leaves it: calls are called off, listeners removed. */
  stop() {
    this.#ended.abort();
  }

  #trouble() {
    return this.problem === null ? html`` : notice(this.problem, { close: () => this.clearProblem() });
  }
}
