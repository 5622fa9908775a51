/** How the server stands now: one line of facts above the charts. */

import { html, nothing } from "../../core/lit.js";
import { counted, duration, number } from "../../core/text.js";

/**
 * @param {object} options
 * @param {{ready: boolean, answered: boolean, text: string}|null} options.readiness what /readyz said; null if it was
 *   not asked yet
 * @param {import("./increase.js").Look|null} options.look the newest metrics; null if there are none
 * @param {string} options.asked when that was
 */
export function standing({ readiness, look, asked }) {
  const { ready, answered } = readiness ?? {};
  const state = readiness === null ? "…" : ready ? "Ready" : answered ? "Not ready" : "No answer";
  const more = [readiness?.text, asked].filter(Boolean).join(" · ");
  return html`<dl class="standing">
    ${tile("readiness", "Server", state, ready, more)}
    ${look ? told(look) : nothing}
  </dl>`;
}

function told(look) {
  const one = (name) => look.get(name)?.[0]?.value;
  const triton = one("ganserve_triton_up");
  const build = look.get("ganserve_build_info")?.[0]?.labels ?? {};
  const started = one("process_start_time_seconds");
  const up = started ? `up ${duration(Math.max(1, Math.floor(Date.now() / 1000 - started)))}` : "";
  return html`
    ${triton === undefined ? nothing : tile("triton", "Triton", triton ? "Up" : "Down", Boolean(triton))}
    ${models(look)} ${jobs(look)}
    ${tile("version", "Version", build.version ?? "unknown", null, up)}
  `;
}

function models(look) {
  const states = {};
  for (const { labels, value } of look.get("ganserve_model_state") ?? []) {
    if (value === 1) states[labels.state] = (states[labels.state] ?? 0) + 1;
  }
  const served = look.get("ganserve_models")?.[0]?.value;
  if (served === undefined) return nothing;
  const others = Object.entries(states).filter(([state]) => state !== "READY");
  const text = others.map(([state, count]) => `${count} ${state.toLowerCase()}`).join(", ");
  return tile("models", "Models", number(served), served > 0 && others.length === 0, text);
}

function jobs(look) {
  const database = look.get("ganserve_jobs_database_up")?.[0]?.value;
  if (database === undefined) return nothing;
  if (database !== 1) return tile("workers", "Workers", "Unknown", false, "the database of jobs does not answer");
  const by = Object.fromEntries((look.get("ganserve_workers") ?? []).map(({ labels, value }) => [labels.state, value]));
  const open = (look.get("ganserve_jobs_open") ?? []).reduce((sum, { value }) => sum + value, 0);
  const others = ["draining", "lost"].filter((state) => by[state]).map((state) => `${by[state]} ${state}`);
  const more = [...others, counted(open, "open job")].join(", ");
  return tile("workers", "Workers", number(by.running ?? 0), by.running > 0, more);
}

/** A fact: `good` is null where it is neither good nor bad. */
function tile(id, title, value, good, more) {
  const mark = good === true ? "good" : good === false ? "bad" : "";
  return html`<div id=${`standing-${id}`} class=${mark}>
    <dt>${title}</dt>
    <dd><b>${good === false ? html`<span aria-hidden="true">▲ </span>` : nothing}${value}</b>
      ${more ? html`<small>${more}</small>` : nothing}</dd>
  </div>`;
}
