/** One job: how far it is, what became of each item, and what can be done with it. */

import { html, nothing } from "../../core/lit.js";
import { follow } from "../../core/events.js";
import { download } from "../../core/files.js";
import { isAbort } from "../../core/problem.js";
import { counted, number } from "../../core/text.js";
import { hashOf } from "../../core/view.js";
import { confirm } from "../../components/confirm.js";
import { Archive } from "./archive.js";
import { percent } from "./bar.js";
import { facts } from "./facts.js";
import { FILTERS, ItemPage } from "./item-page.js";
import { itemsSection } from "./items-section.js";
import { Pace } from "./pace.js";
import { LOST, away, standing } from "./standing.js";
import { Thumbnails } from "./thumbnails.js";
import { countsOf, ended, jobState, titleOf } from "./words.js";

const MOST_NAMED = 20; // files; a command line is no place for more
const MOST_SEEDS = 1000;

export class JobView {
  job = null;
  #ended = new AbortController();
  #lost = null; // why nothing can be heard at the moment
  #asked = ""; // what was just asked of the job
  #following = false;
  #names = null; // of its first items
  #title = document.title;
  #clock = 0;

  /**
   * @param {import("./tab.js").default} tab
   * @param {string} id
   */
  constructor(tab, id) {
    this.tab = tab;
    this.id = id;
    this.api = tab.studio.api;
    const changed = () => tab.update();
    const failed = (error) => tab.fail(error);
    // While the server is away that is said above the items, and they are asked for until they come.
    const notNow = (error) => (error.passing ? this.page.refresh() : tab.fail(error));
    this.page = new ItemPage(this.api, id, { changed, failed: notNow });
    this.thumbnails = new Thumbnails(this.api, this.#ended.signal, changed);
    this.archive = new Archive(this.api, this.#ended.signal, { changed, failed });
    this.pace = new Pace();
  }

  get #path() {
    return `v1/jobs/${encodeURIComponent(this.id)}`;
  }

  async start() {
    this.#clock = setInterval(() => this.tab.update(), 1000); // ages and times left go on by themselves
    this.changed();
    await this.#follow();
  }

  changed() {
    const { params } = this.tab.view;
    const first = Number(params.get("from"));
    const show = params.get("show") ?? "";
    this.page.turnTo(Object.hasOwn(FILTERS, show) ? show : "", Number.isInteger(first) && first > 0 ? first : 0);
  }

  stop() {
    this.#ended.abort();
    this.page.stop();
    clearInterval(this.#clock);
    document.title = this.#title;
  }

  template() {
    const { job } = this;
    return html`<p class="back"><a href="#jobs">← All jobs</a></p>
      ${
        job
          ? this.#whole(job)
          : html`<h1 tabindex="-1">Job</h1>
              ${this.#lost ? away(this.#lost) : nothing}`
      }`;
  }

  #whole(job) {
    const { page, thumbnails } = this;
    const announce = (words) => this.tab.studio.announce(words);
    return html`<section class="card state" data-state=${job.state} aria-labelledby="job-title">
        ${standing(job, this.pace, this.#lost)} ${this.#actions(job)} ${this.archive.template()}
      </section>
      ${itemsSection({ view: this.tab.view, job, page, thumbnails, open: this.#open, save: this.#save })}
      ${facts({ job, names: this.#names, key: this.api.hasKey, announce })}`;
  }

  #actions(job) {
    const { counts } = job;
    const again = counts.failed + counts.cancelled;
    const busy = this.#asked !== "";
    if (!ended(job)) {
      return html`<p class="row">
        <button type="button" id="cancel" ?disabled=${busy || job.cancelling} @click=${() => this.#cancel()}>
          ${job.cancelling ? "Being cancelled…" : "Cancel the job"}
        </button>
      </p>`;
    }
    return html`<p class="row">
      ${counts.succeeded && !job.destination ? this.archive.button(job) : nothing}
      ${
        again
          ? html`<button type="button" id="retry" ?disabled=${busy} @click=${() => this.#retry()}>
              Retry ${counted(again, "item")}
            </button>`
          : nothing
      }
      <button type="button" id="delete" class="quiet" ?disabled=${busy} @click=${() => this.#delete()}>
        Delete
      </button>
    </p>`;
  }

  async #follow() {
    if (this.#following) return;
    this.#following = true;
    const { signal } = this.#ended;
    try {
      await follow(this.api, `${this.#path}/events`, {
        signal,
        connection: this.tab.studio.connection,
        onConnection: (problem) => this.#connection(problem),
        onEvent: ({ event, data }) => this.#heard(event, JSON.parse(data)),
      });
    } catch (error) {
      if (!isAbort(error)) this.tab.fail(error);
    } finally {
      this.#following = false;
    }
  }

  #heard(event, data) {
    if (event === "item") this.page.tell(data);
    if (event === "job") this.#become(data);
    if (event !== "end") return false;
    if (data.state === "deleted") {
      this.tab.studio.announce("The job was deleted");
      location.hash = hashOf("jobs");
    }
    return true;
  }

  #become(job) {
    const before = this.job;
    this.job = job;
    this.pace.note(job);
    if (before && before.counts.total !== job.counts.total && this.page.next === null) this.page.refresh();
    if (before && !ended(before) && ended(job)) {
      this.tab.studio.announce(`The job has ended: ${countsOf(job)}`);
      this.page.refresh();
    }
    if (job.listed && (this.#names === null || before?.listed === false)) this.#nameItems();
    document.title = `${ended(job) ? jobState(job).text : `${percent(job)} %`} · ${titleOf(job)} · ganserve studio`;
    this.tab.update();
  }

  /** What commands call its files. */
  async #nameItems() {
    this.#names ??= { names: [], all: false };
    const { signal } = this.#ended;
    try {
      const { data, next } = await this.api.json(
        `${this.#path}/items?limit=${this.job.operation === "generate" ? MOST_SEEDS : MOST_NAMED}`,
        { signal },
      );
      this.#names = { names: data.map(({ name }) => name), all: next === null };
    } catch (error) {
      if (!isAbort(error)) this.#names = null; // at the next event once more
    }
    this.tab.update();
  }

  async #connection(problem) {
    const changed = (problem === null) !== (this.#lost === null);
    this.#lost = problem;
    if (changed) this.tab.studio.announce(problem ? LOST : "The connection is back");
    this.tab.update();
    // It may be asked for where it cannot be followed.
    if (problem?.slug === "too-many-watchers") {
      await this.api.json(this.#path, { signal: this.#ended.signal, patient: false }).then(
        (job) => this.#become(job),
        () => {},
      );
    }
  }

  #cancel() {
    return this.#ask(
      "cancel",
      {
        title: "Cancel this job?",
        text: "What is done stays. What runs is stopped, and nothing more is begun; it can be retried later.",
        yes: "Cancel the job",
        no: "Let it go on",
      },
      () => this.api.json(this.#path, { method: "DELETE", signal: this.#ended.signal }),
    );
  }

  #retry() {
    return this.#ask("retry", null, () =>
      this.api.json(`${this.#path}/retry`, { method: "POST", signal: this.#ended.signal }),
    );
  }

  #delete() {
    return this.#ask(
      "delete",
      {
        title: "Delete this job and its files?",
        text: this.job.destination
          ? "What it wrote to its destination stays there."
          : `${counted(this.job.counts.succeeded, "result")} will be gone. There is no way back.`,
        yes: "Delete",
      },
      async () => {
        await this.api.call(`${this.#path}?purge=true`, { method: "DELETE", signal: this.#ended.signal });
        location.hash = hashOf("jobs");
        return null;
      },
    );
  }

  /** Asks the user, then the server; what comes of it is followed. */
  async #ask(what, question, call) {
    if (question && !(await confirm(question))) return;
    this.#asked = what;
    this.tab.clearProblem();
    this.tab.update();
    await this.tab.attempt(async () => {
      const job = await call();
      if (job === null) return;
      this.#become(job);
      this.page.refresh();
      if (!ended(job)) this.#follow();
    });
    this.#asked = "";
    this.tab.update();
    // The button may be gone, and the focus with it.
    requestAnimationFrame(() =>
      requestAnimationFrame(() => document.activeElement === document.body && this.#heading?.focus()),
    );
  }

  get #heading() {
    return this.tab.root.querySelector("h1");
  }

  #open = (item) =>
    this.tab.attempt(async () => {
      const blob = await this.thumbnails.blob(item.output);
      const { width, height, name } = item.output;
      this.tab.studio.openPicture({
        blob,
        title: `${name}, ${number(width)} × ${number(height)}`,
        name: name.split("/").pop(),
      });
    });

  #save = (item) =>
    this.tab.attempt(async () =>
      download(await this.thumbnails.blob(item.output), item.output.name.split("/").pop()),
    );
}
