/** All jobs, the newest first, as they are now. */

import { html, nothing, repeat } from "../../core/lit.js";
import { Problem, isAbort } from "../../core/problem.js";
import { sleep } from "../../core/api.js";
import { hashOf } from "../../core/view.js";
import { number } from "../../core/text.js";
import { empty, notice } from "../../components/notice.js";
import { bar } from "./bar.js";
import { NewJob } from "./new-job.js";
import { OPERATIONS, ago, clock, countsOf, ended, jobState, titleOf } from "./words.js";

const AT_A_TIME = 20;
const PAUSE_SECONDS = { busy: 1, idle: 5, away: 3 };
const SHOWN = {
  "": "All",
  "queued,running": "Under way",
  succeeded: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
};

export class JobList {
  id = "";
  #ended = new AbortController();
  #turn = new AbortController();
  #jobs = null;
  #next = null;
  #problem = null;
  #query = null;
  #refused = false;

  /** @param {import("./tab.js").default} tab */
  constructor(tab) {
    this.tab = tab;
    this.newJob = new NewJob(tab, this.#ended.signal);
  }

  start() {
    this.newJob.start();
    this.#follow();
  }

  changed() {
    this.newJob.changed();
    if (JSON.stringify(this.#wanted()) !== this.#query) this.#follow();
  }

  stop() {
    this.#ended.abort();
    this.#turn.abort();
  }

  template() {
    return html`<h1 tabindex="-1">Jobs</h1>
      ${this.newJob.template()}
      <section class="all" aria-labelledby="all-jobs">
        <div class="heading">
          <h2 id="all-jobs">All jobs</h2>
          <div class="row filters" role="group" aria-label="Show">
            ${Object.keys(SHOWN).map((state) => this.#filter(state))}
          </div>
        </div>
        ${this.#problem ? notice(this.#problem) : nothing} ${this.#rows()}
      </section>`;
  }

  #filter(state) {
    const { state: chosen } = this.#wanted();
    const show = () => this.#goTo({ state, from: "" });
    return html`<button type="button" class="chip" aria-pressed=${String(state === chosen)} @click=${show}>
      ${SHOWN[state]}
    </button>`;
  }

  #rows() {
    if (this.#jobs === null)
      return this.#problem || this.#refused ? nothing : html`<p class="empty">Looking for jobs…</p>`;
    const { state, from } = this.#wanted();
    if (!this.#jobs.length) {
      return empty(
        state || from ? "There are none of these." : "There is no job yet. Drop a folder above, and it is one.",
      );
    }
    return html`<ol class="jobs">
        ${repeat(this.#jobs, ({ id }) => id, row)}
      </ol>
      ${
        from || this.#next
          ? html`<nav class="row pager" aria-label="Pages of jobs">
              <button type="button" ?disabled=${!from} @click=${() => this.#goTo({ state, from: "" })}>
                Newest
              </button>
              <button
                type="button"
                ?disabled=${!this.#next}
                @click=${() => this.#goTo({ state, from: this.#next })}
              >
                Older
              </button>
            </nav>`
          : nothing
      }`;
  }

  #wanted() {
    const { params } = this.tab.view;
    const state = params.get("state") ?? "";
    return { state: Object.hasOwn(SHOWN, state) ? state : "", from: params.get("from") ?? "" };
  }

  /** A new entry of the history, so that the browser's "back" is the page before. */
  #goTo(wanted) {
    const { params } = this.tab.view;
    for (const [name, value] of Object.entries(wanted)) {
      if (value) params.set(name, value);
      else params.delete(name);
    }
    location.hash = hashOf(this.tab.view.tab, params);
  }

  /** Asks for the page again and again, more often while something goes on in it. */
  async #follow() {
    this.#turn.abort();
    this.#turn = new AbortController();
    const { signal } = this.#turn;
    this.#jobs = null;
    this.#refused = false;
    const { state, from } = this.#wanted();
    this.#query = JSON.stringify({ state, from });
    this.tab.update();
    const query = new URLSearchParams({ limit: AT_A_TIME, ...(state && { state }), ...(from && { cursor: from }) });
    try {
      for (;;) {
        await this.#load(`v1/jobs?${query}`, signal);
        const busy = this.#jobs?.some((job) => !ended(job));
        await sleep(PAUSE_SECONDS[this.#problem ? "away" : busy ? "busy" : "idle"], signal);
        await visible(signal);
      }
    } catch (error) {
      if (isAbort(error)) return;
      this.#refused = true;
      this.tab.fail(error);
    }
  }

  async #load(path, signal) {
    try {
      const { data, next } = await this.tab.studio.api.json(path, { signal, patient: false });
      signal.throwIfAborted();
      this.#jobs = data;
      this.#next = next;
      this.#problem = null;
    } catch (error) {
      if (!(error instanceof Problem) || !error.passing) throw error;
      this.#problem = error;
    }
    this.tab.update();
  }
}

/** Waits while nobody looks. */
function visible(signal) {
  return new Promise((resolve, reject) => {
    if (!document.hidden) return resolve();
    document.addEventListener("visibilitychange", resolve, { once: true, signal });
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** What stands before its age, where the title does not say it. */
function subtitle(job) {
  const { metadata, operation, model, owner } = job;
  const parts = [
    metadata.title && `${OPERATIONS[operation]?.verb ?? operation} with ${model}`,
    owner !== "anonymous" && owner,
  ];
  return parts
    .filter(Boolean)
    .map((part) => `${part} · `)
    .join("");
}

function row(job) {
  const { text, sign, tone } = jobState(job);
  const { counts } = job;
  return html`<li data-job=${job.id} data-state=${job.state}>
    <a class="job" href=${`#jobs?job=${job.id}`}>
      <span class="what"
        ><strong>${titleOf(job)}</strong>
        <small
          >${subtitle(job)}<time datetime=${job.created_at} title=${clock(job.created_at)}
            >${ago(job.created_at)}</time
          ></small
        ></span
      >
      <span class=${`badge ${tone}`}><span aria-hidden="true">${sign}</span> ${text}</span>
      <span class="far"
        >${bar(job)}<small
          >${job.problem && !counts.total ? job.problem.title : countsOf(job)}${
            counts.running ? `, ${number(counts.running)} running` : ""
          }</small
        ></span
      >
    </a>
  </li>`;
}
