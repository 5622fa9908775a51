/**
 * What is shown of the metrics, and how it is computed: as the dashboards in deploy/grafana have it, over the last
 * seconds instead of minutes.
 */

import { bytes, duration, number } from "../../core/text.js";
import { increaseOver, quantile } from "./increase.js";

/** Operations that are no service to clients, as the objectives leave them out: probes, pages, what operators do. */
export const NOT_SERVED =
  "healthz|readyz|metrics|docs|studio|studio-file|problem|problems|load|unload".split("|");

const served = ({ operation }) => !NOT_SERVED.includes(operation);
const perSecond = (value) => `${number(Number(value.toPrecision(2)))}/s`;

const seconds = (value) => (value < 0.01 ? `${Number((value * 1000).toPrecision(2))} ms` : duration(value));

/**
 * The looks of the last seconds, and what can be asked of them.
 */
export class Window {
  /** @param {{at: number, look: import("./increase.js").Look}[]} looks the oldest first; milliseconds */
  constructor(looks) {
    this.looks = looks.map(({ look }) => look);
    this.seconds = looks.length > 1 ? (looks.at(-1).at - looks[0].at) / 1000 : 0;
  }

  /** A second, by group; null where there is one look only. */
  rate(name, group = () => "all") {
    if (this.seconds <= 0) return null;
    const grown = increaseOver(this.looks, name, group);
    return Object.fromEntries([...grown].map(([into, count]) => [into, count / this.seconds]));
  }

  /** Values of now, added up by group. */
  gauge(name, group = () => "all") {
    const sums = {};
    for (const { labels, value } of this.looks.at(-1).get(name) ?? []) {
      const into = group(labels);
      if (into !== null && Number.isFinite(value)) sums[into] = (sums[into] ?? 0) + value;
    }
    return sums;
  }

  quantile(share, name, wanted) {
    const group = (labels) => (wanted(labels) ? labels.le : null);
    return quantile(share, increaseOver(this.looks, `${name}_bucket`, group));
  }

  /** The mean of a histogram; null if nothing was counted. */
  mean(name) {
    const sum = increaseOver(this.looks, `${name}_sum`, () => "all").get("all");
    const count = increaseOver(this.looks, `${name}_count`, () => "all").get("all");
    return count > 0 ? sum / count : null;
  }
}

const fault = ({ fault: whose, ...labels }) =>
  served(labels) ? { none: "ok", client: "client fault", server: "server fault" }[whose] ?? null : null;

const wrong = (labels) =>
  served(labels) && !["ok", "not-modified"].includes(labels.outcome) ? `${labels.outcome} (${labels.fault})` : null;

/**
 * @typedef {object} Measure
 * @property {string} id
 * @property {string} title
 * @property {string} about what exactly it is
 * @property {(window: Window) => Record<string, number|null>|null} read values of now by series
 * @property {(value: number) => string} format
 * @property {number} least the top of the chart is no lower
 * @property {string[]} [series] those that are always there, in this order
 * @property {string} [counter] name of a counter of which the chart says how many there were
 * @property {(labels: Record<string, string>) => string|null} [group]
 * @property {string} [counts] what it counts
 * @property {0} [missing] what a series has that is not told of, as counters that have not begun
 * @property {string} [empty] what to say while there is no series
 * @property {boolean} [optional] left out where the server does not tell it
 */

/** @type {Measure[]} */
export const MEASURES = [
  {
    id: "requests",
    title: "Requests",
    about: "Answered a second, by whose fault it was if one was not answered well. Probes and pages are left out.",
    read: (window) => window.rate("ganserve_requests_total", fault),
    series: ["ok", "client fault", "server fault"],
    format: perSecond,
    least: 1,
    counter: "ganserve_requests_total",
    group: fault,
    counts: "request",
    missing: 0,
  },
  {
    id: "latency",
    title: "Latency",
    about: "From a request's headers to the last byte of its answer: half, and 95 %, were faster.",
    read: (window) => ({
      p50: window.quantile(0.5, "ganserve_request_seconds", served),
      p95: window.quantile(0.95, "ganserve_request_seconds", served),
    }),
    series: ["p50", "p95"],
    format: seconds,
    least: 0.01,
  },
  {
    id: "errors",
    title: "What did not go well",
    about: "A second, by type of problem and whose fault it was.",
    read: (window) => window.rate("ganserve_requests_total", wrong),
    format: perSecond,
    least: 1,
    counter: "ganserve_requests_total",
    group: wrong,
    counts: "fault",
    empty: "Everything has gone well so far.",
    missing: 0,
  },
  {
    id: "queue",
    title: "Queue",
    about: "Images admitted, waiting and running, by model.",
    read: (window) => window.gauge("ganserve_queue_depth", ({ model }) => model),
    format: number,
    least: 4,
    empty: "Nothing is in the queue.",
    missing: 0,
  },
  {
    id: "images",
    title: "Images",
    about: "Images, or tiles of them, computed a second, by model. What workers compute for batch jobs is theirs.",
    read: (window) => window.rate("ganserve_images_total", ({ model }) => model),
    format: perSecond,
    least: 1,
    counter: "ganserve_images_total",
    group: ({ model }) => model,
    counts: "image",
    empty: "None has been computed yet.",
    missing: 0,
  },
  {
    id: "time",
    title: "Where the time goes",
    about: "Means: in the queue, in Triton (its own queue included), and making files of pixels.",
    read: (window) => ({
      queue: window.mean("ganserve_queue_seconds"),
      Triton: window.mean("ganserve_infer_seconds"),
      encoding: window.mean("ganserve_encode_seconds"),
    }),
    series: ["queue", "Triton", "encoding"],
    format: seconds,
    least: 0.01,
  },
  {
    id: "jobs",
    title: "Batch jobs",
    about: "Items of all jobs that wait, and that workers work on.",
    read: (window) => named({ waiting: "ganserve_jobs_pending_items", running: "ganserve_jobs_running_items" }, window),
    series: ["waiting", "running"],
    format: number,
    least: 4,
    empty: "The database of jobs does not answer.",
  },
  {
    id: "connections",
    title: "In flight",
    about: "Requests being worked on, this page's own among them, and connections of clients.",
    read: (window) => named({ requests: "ganserve_requests_in_flight", connections: "ganserve_connections" }, window),
    series: ["requests", "connections"],
    format: number,
    least: 4,
  },
  {
    id: "processor",
    title: "Processor",
    about: "Cores that the gateway keeps busy. Triton and workers are processes of their own.",
    read: (window) => ({ gateway: window.rate("process_cpu_seconds_total")?.all ?? null }),
    series: ["gateway"],
    format: (value) => `${number(value)} cores`,
    least: 1,
  },
  {
    id: "memory",
    title: "Memory",
    about: "Of the gateway, resident.",
    read: (window) => named({ gateway: "process_resident_memory_bytes" }, window),
    series: ["gateway"],
    format: bytes,
    least: 2 ** 26,
  },
  {
    id: "gpu",
    title: "GPU",
    about: "Share of the time in which each GPU computed.",
    read: (window) => window.gauge("nv_gpu_utilization", ({ gpu_uuid: gpu }) => gpu ?? "GPU"),
    format: (value) => `${Math.round(value * 100)} %`,
    least: 1,
    optional: true,
  },
  {
    id: "gpu-memory",
    title: "GPU memory",
    about: "In use, by GPU.",
    read: (window) => window.gauge("nv_gpu_memory_used_bytes", ({ gpu_uuid: gpu }) => gpu ?? "GPU"),
    format: bytes,
    least: 2 ** 30,
    optional: true,
  },
];

const NAMES = /^(ganserve|process|nv_gpu)_/;
/** Which metrics are kept of what the server tells. */
export const wanted = (name) => NAMES.test(name);

function named(names, window) {
  const values = Object.entries(names).map(([series, name]) => [series, window.gauge(name).all]);
  return Object.fromEntries(values.filter(([, value]) => value !== undefined));
}
