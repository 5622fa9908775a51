/** Jobs: all of them, or the one that the URL names. */

import { html, nothing } from "../../core/lit.js";
import { Tab } from "../../core/tab.js";
import { filesIn } from "./dropped.js";
import { JobList } from "./list.js";
import { JobView } from "./job.js";

export default class Jobs extends Tab {
  static styles = ["tab.css"];
  #shown = null;
  #dropped = null;

  async start() {
    this.on(this.studio.models, "change", () => this.update());
    this.on(document, "dragover", (event) => this.#overJob(event) && event.preventDefault());
    this.on(document, "drop", (event) => this.#dropOnJob(event));
    this.#show();
  }

  changed() {
    this.clearProblem();
    if (!this.#show()) return;
    // What was focused is gone: whoever works by keyboard goes on at the top of what came instead.
    requestAnimationFrame(() => requestAnimationFrame(() => this.root.querySelector("h1")?.focus()));
    scrollTo(0, 0);
  }

  stop() {
    super.stop();
    this.#shown?.stop();
  }

  template() {
    return (
      this.#shown?.template() ??
      html`<h1 tabindex="-1">Jobs</h1>
        ${nothing}`
    );
  }

  #overJob(event) {
    return this.#shown instanceof JobView && event.dataTransfer?.types.includes("Files");
  }

  /** Files that are dropped while one job is looked at are a new one. */
  #dropOnJob(event) {
    if (!this.#overJob(event)) return;
    event.preventDefault();
    this.#dropped = filesIn(event.dataTransfer);
    location.hash = `#${this.view.tab}`;
  }

  /** Shows what the URL says; whether that is another part of the tab than before. */
  #show() {
    const id = this.view.params.get("job") ?? "";
    if (this.#shown?.id === id) {
      this.#shown.changed();
      return false;
    }
    this.#shown?.stop();
    this.#shown = id ? new JobView(this, id) : new JobList(this);
    this.#shown.start();
    if (this.#dropped && !id) this.#shown.newJob.take(this.#dropped);
    this.#dropped = null;
    this.update();
    return true;
  }
}
