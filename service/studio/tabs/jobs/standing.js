/** How a job stands: how far it is, how long it may take, and what keeps it. */

import { html, nothing } from "../../core/lit.js";
import { duration } from "../../core/text.js";
import { notice } from "../../components/notice.js";
import { bar, percent } from "./bar.js";
import { countsOf, ended, jobState, titleOf } from "./words.js";

export const LOST = "The connection to the server is lost; it is tried again by itself. What is shown may be old.";
const QUEUED = "It waits for a worker: others may be busy with other jobs, or none is there. It begins by itself.";
const STILL =
  "Nothing has been done for a while: large items take long, and so do busy models; or the worker is away.";
const STILL_SECONDS = { queued: 3, running: 20 };

/**
 * @param {object} job
 * @param {import("./pace.js").Pace} pace
 * @param {import("../../core/problem.js").Problem|null} lost why nothing can be heard of it
 */
export function standing(job, pace, lost) {
  const { text, sign, tone } = jobState(job);
  return html`<div class="heading">
      <h1 id="job-title" tabindex="-1">${titleOf(job)}</h1>
      <span class=${`badge ${tone}`}><span aria-hidden="true">${sign}</span> ${text}</span>
    </div>
    ${bar(job)}
    <p class="far">
      ${ended(job) ? nothing : html`<strong>${percent(job)} %</strong>`}
      <span>${countsOf(job)}</span> ${when(job, pace)}
    </p>
    ${lost ? away(lost) : waits(job, pace)} ${job.problem ? failed(job.problem) : nothing}`;
}

/** That nothing can be heard at the moment. */
export function away(lost) {
  if (lost.slug === "unreachable") return html`<p class="notice bad lost" role="status"><span>${LOST}</span></p>`;
  return html`<div class="lost">
    ${notice(lost)}
    <p><small>It is tried again by itself.</small></p>
  </div>`;
}

function failed({ title, detail }) {
  return html`<p class="notice bad">
    <span><strong>${title}.</strong> ${detail}</span>
  </p>`;
}

function waits(job, pace) {
  const begun = job.counts.running > 0;
  if (ended(job) || pace.still(job) < STILL_SECONDS[begun ? "running" : "queued"]) return nothing;
  return html`<p class="notice waits" role="status"><span>${begun ? STILL : QUEUED}</span></p>`;
}

function when(job, pace) {
  if (ended(job)) {
    if (!job.started_at) return nothing;
    return html`<span>in ${duration((Date.parse(job.ended_at) - Date.parse(job.started_at)) / 1000)}</span>`;
  }
  const left = pace.left(job);
  return left === null ? nothing : html`<span>about ${duration(Math.round(left))} left</span>`;
}
