/** How far a job is, as a bar of its items by state. */

import { html } from "../../core/lit.js";
import { countsOf, doneOf, ended } from "./words.js";

const PARTS = ["succeeded", "failed", "cancelled", "running"];

/** A bar; its text says what its colours do. */
export function bar(job) {
  const { counts } = job;
  const total = Math.max(1, counts.total);
  return html`<div
    class="bar"
    role="progressbar"
    aria-label="Items done"
    aria-valuemin="0"
    aria-valuemax=${total}
    aria-valuenow=${doneOf(job)}
    aria-valuetext=${countsOf(job)}
  >
    ${PARTS.map((part) => html`<span class=${part} .style=${`--share: ${counts[part] / total}`}></span>`)}
  </div>`;
}

/** Hundredths that are done; a job that grows or goes on never has them all. */
export function percent(job) {
  if (ended(job)) return 100;
  return Math.min(99, Math.floor((100 * doneOf(job)) / Math.max(1, job.counts.total)));
}
