import { html, nothing } from "../../core/lit.js";
import { sleep } from "../../core/api.js";
import { Problem, isAbort } from "../../core/problem.js";
import { Tab } from "../../core/tab.js";
import { choice } from "../../components/controls.js";
import { notice } from "../../components/notice.js";
import { chart } from "./chart.js";
import { History } from "./history.js";
import { MEASURES, wanted } from "./measures.js";
import { parseMetrics } from "./prometheus.js";
import { standing } from "./standing.js";

const PAUSE_SECONDS = 2;
const LIMIT_SECONDS = 5;
const SPANS = ["2", "5", "10"];

/** Outlives the tab, so that who comes back sees what was there; never asked for while nobody looks. */
const history = new History();
const orders = new Map(MEASURES.map(({ id, series }) => [id, [...(series ?? [])]]));

/** Queue, latency and errors of this server as charts that move; from `/metrics`, which many servers keep open. */
export default class extends Tab {
  static styles = ["tab.css"];

  #running = null; // what ends the asking
  #refused = null; // why there is nothing to ask for
  #missed = null; // why the last time there was no answer
  #readiness = null;
  #pointed = null;
  #paused = false;
  #at = 0; // when it was asked last

  async start() {
    this.on(document, "visibilitychange", () => this.#goOn());
    this.on(this.studio.api, "key", () => this.#again());
    this.signal.addEventListener("abort", () => this.#running?.abort());
    this.#goOn();
  }

  changed() {
    this.update();
  }

  get #span() {
    const given = this.view.params.get("span");
    return SPANS.includes(given) ? given : SPANS[0];
  }

  /** Asks for metrics again, at once. */
  #again() {
    this.#refused = null;
    this.#running?.abort();
    this.#running = null;
    this.#goOn();
  }

  /** Asks while somebody looks. */
  #goOn() {
    const wants = !document.hidden && !this.#paused && !this.signal.aborted;
    if (!wants) {
      this.#running?.abort();
      this.#running = null;
    } else if (this.#running === null) {
      this.#running = new AbortController();
      this.#keepAsking(this.#running.signal).catch((error) => isAbort(error) || this.fail(error));
    }
    this.update();
  }

  async #keepAsking(signal) {
    for (;;) {
      await Promise.all([this.#refused === null && this.#askMetrics(signal), this.#askReadiness(signal)]);
      if (signal.aborted) return;
      this.#at = Date.now();
      this.update();
      await sleep(PAUSE_SECONDS, signal);
    }
  }

  async #askMetrics(signal) {
    try {
      const options = { accept: "text/plain", patient: false, limit: LIMIT_SECONDS, signal };
      const look = parseMetrics(await (await this.studio.api.call("metrics", options)).text(), wanted);
      if (!look.has("ganserve_build_info")) throw foreign();
      history.add(look);
      this.#missed = null;
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      const problem = error instanceof Problem ? error : Problem.unreachable(); // it broke off within the answer
      if ([401, 403, 404].includes(problem.status)) this.#refused = problem;
      else history.away();
      this.#missed = problem;
    }
  }

  async #askReadiness(signal) {
    try {
      const said = await this.studio.api.json("readyz", { patient: false, limit: LIMIT_SECONDS, signal });
      const out = Object.entries(said.unavailable ?? {}).map(([name, reason]) => `${name}: ${reason}`);
      this.#readiness = { ready: true, answered: true, text: out.join("; ") };
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      const answered = error instanceof Problem && error.status > 0;
      this.#readiness = { ready: false, answered, text: answered ? error.detail : "" };
    }
  }

  template() {
    const choices = SPANS.map((value) => ({ value, text: `${value} min` }));
    return html`<div class="row head">
        <h1>Status</h1>
        <p class="row asking">
          ${choice({ id: "span", label: "Shown", value: this.#span, choices, change: (span) => this.#show(span) })}
          <button type="button" id="pause" @click=${() => this.#pause()}>${this.#paused ? "Go on" : "Pause"}</button>
        </p>
      </div>
      ${standing({ readiness: this.#readiness, look: history.latest, asked: this.#asked() })}
      ${this.#refused ? this.#closed() : this.#missed ? this.#silent() : nothing}
      ${history.points.length ? this.#charts() : nothing}`;
  }

  #asked() {
    if (this.#paused) return "not asked while paused";
    return this.#at ? `asked ${new Date(this.#at).toLocaleTimeString()}` : "";
  }

  #closed() {
    const { status } = this.#refused;
    const why =
      status === 404
        ? "What answers here has no page of metrics: a proxy may keep it to itself."
        : "This server tells its metrics to keys with the scope admin only (GANSERVE_OPEN_METRICS is off).";
    return html`${notice(this.#refused, { retry: () => this.#again() })}<p class="notice" id="closed">${why}</p>`;
  }

  #silent() {
    return html`<p class="notice bad" id="silent" role="status">
      <strong>${this.#missed.title}.</strong> ${this.#missed.detail}
      The charts have a gap until it answers.</p>`;
  }

  #charts() {
    const to = history.points.at(-1).at;
    const from = to - Number(this.#span) * 60_000;
    const points = history.points.filter(({ at }) => at >= from);
    const point = (at) => {
      this.#pointed = at;
      this.update();
    };
    return html`<div class="charts">
      ${MEASURES.map((measure) => {
        const series = seriesOf(measure, points);
        if (measure.optional && series.length === 0) return nothing;
        const counts = measure.counter ? history.countsSince(measure.id, from) : undefined;
        return chart({ measure, points, series, from, to, pointed: this.#pointed, point, counts });
      })}
    </div>`;
  }

  #show(span) {
    this.view.replace({ span: span === SPANS[0] ? null : span });
    this.update();
  }

  #pause() {
    this.#paused = !this.#paused;
    this.#goOn();
  }
}

/** The series of a measure in view: as it lists them, or those that had something, in the order of their coming. */
function seriesOf(measure, points) {
  const order = orders.get(measure.id);
  const busy = new Set(measure.series);
  for (const { values } of points) {
    for (const [name, value] of Object.entries(values[measure.id] ?? {})) {
      if (!order.includes(name)) order.push(name);
      if (value > 0 || measure.optional) busy.add(name);
    }
  }
  return order.filter((name) => busy.has(name));
}

function foreign() {
  return new Problem({
    title: "This is no page of ganserve's metrics",
    detail: "Something between this page and ganserve answered in its place.",
    status: 404,
  });
}
