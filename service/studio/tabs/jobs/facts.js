/** What is known of a job besides how far it is, and the job as commands. */

import { html, nothing } from "../../core/lit.js";
import { copyAs } from "../../components/copy-as.js";
import { fetching, following, makingAgain } from "./commands.js";
import { ago, clock, ended } from "./words.js";

/**
 * @param {object} options
 * @param {object} options.job
 * @param {{names: string[], all: boolean}|null} options.names of its first items, once they are known
 * @param {boolean} options.key whether calls carry a key
 * @param {(text: string) => void} options.announce
 */
export function facts({ job, names, key, announce }) {
  const group = (name, label, commands) => html`<div class=${name}>${copyAs({ commands, announce, label })}</div>`;
  // Seeds that were listed one by one are known only as far as the items are.
  const repeatable = names && (names.all || job.operation !== "generate" || job.seeds);
  const fetchable = ended(job) && job.counts.succeeded && !job.destination;
  return html`<section class="split-even">
    <div class="card">
      <h2>About this job</h2>
      <dl class="facts">
        ${rows(job).map(
          ([name, value]) =>
            html`<dt>${name}</dt>
              <dd>${value}</dd>`,
        )}
      </dl>
    </div>
    <div class="card">
      <h2>As a command</h2>
      ${repeatable ? group("making", "Make it again", makingAgain(job, names, key)) : nothing}
      ${group("following", "Follow it", following(job, key))}
      ${fetchable ? group("fetching", "Fetch the results", fetching(job, key)) : nothing}
    </div>
  </section>`;
}

function rows(job) {
  const when = (moment) => html`<time datetime=${moment} title=${clock(moment)}>${ago(moment)}</time>`;
  const parameters = Object.entries(job.parameters).filter(([, value]) => value !== null);
  return [
    ["Model", html`<a href=${`#models?model=${job.model}`}>${job.model}</a>`],
    [
      "Parameters",
      parameters.length
        ? parameters.map(([name, value]) => `${name} ${said(value)}`).join(", ")
        : "as the model has them",
    ],
    job.seeds && ["Seeds", `${job.seeds.first} – ${job.seeds.first + job.seeds.count - 1}`],
    job.inputs && ["Reads", job.inputs.map(({ prefix, pattern }) => `${prefix}${pattern ?? ""}`).join(", ")],
    ["Results", html`<code>${job.destination ?? job.naming}</code>`],
    ["Priority", job.priority],
    ["Made", when(job.created_at)],
    job.started_at && ["Begun", when(job.started_at)],
    job.ended_at && ["Ended", when(job.ended_at)],
    job.expires_at && ["Deleted", when(job.expires_at)],
    job.round > 0 && ["Retried", job.round === 1 ? "once" : `${job.round} times`],
    job.webhook && ["Tells", job.webhook.url],
    job.owner && job.owner !== "anonymous" && ["Made by", job.owner],
    ...Object.entries(job.metadata).filter(([name]) => name !== "title"),
    ["Id", html`<code>${job.id}</code>`],
  ].filter(Boolean);
}

const said = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
