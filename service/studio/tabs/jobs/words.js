/** Jobs and items in words. */

import { counted, duration, number } from "../../core/text.js";

export const OPERATIONS = {
  "super-resolution": { verb: "Upscale", kind: "upscaler" },
  translate: { verb: "Translate", kind: "translator" },
  generate: { verb: "Generate", kind: "generator" },
};

const STATES = {
  queued: "Waiting",
  running: "Running",
  succeeded: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
};
const SIGNS = { queued: "…", running: "▸", succeeded: "✓", failed: "✕", cancelled: "–" };
const TONES = { succeeded: "good", failed: "bad", cancelled: "warn" };

/** What to do about an item that failed, by the last part of its problem's `type`. */
const ITEM_ADVICE = {
  "image-unreadable": "Open the file: if it is damaged, send it anew in another job.",
  "image-unsupported": "Save it as PNG, JPEG or WebP and send that in another job.",
  "image-animated": "Say which frame is meant, in another job.",
  "image-too-large": "Make it smaller first, or send parts of it.",
  "image-exceeds-model": "Make it smaller first, or choose another model.",
  "output-too-large": "Choose a smaller scale.",
  "input-too-large": "The file is too large; send a smaller one.",
  "input-unreadable": "The file is no longer there, or is not what it was. Send it anew.",
  "digest-mismatch": "The model was replaced while the job waited. Make the job anew.",
  "model-not-found": "The model is not served now. Retry when it is back.",
  "triton-unavailable": "Retry: what computes was away for too long.",
  "storage-unavailable": "Retry when there is room again.",
  "item-lost": "It takes the worker down. Leave it out.",
  "inference-failed": "Retry; if it fails again, whoever runs the server has to look at the model.",
};

/** @returns {string} a sentence, or nothing */
export const adviceOf = (problem) => ITEM_ADVICE[(problem?.type ?? "").split("/").pop()] ?? "";

/** Whether nothing more will happen to it by itself. */
export const ended = ({ state }) => ["succeeded", "failed", "cancelled"].includes(state);

/** How many items nothing more will happen to. */
export const doneOf = ({ counts }) => counts.succeeded + counts.failed + counts.cancelled;

/** Of an item. */
export const stateOf = (state) => ({ text: STATES[state], sign: SIGNS[state], tone: TONES[state] ?? "" });

/** Of a job, which has `succeeded` also when not all of it has. */
export function jobState(job) {
  if (job.cancelling && !ended(job)) return { text: "Cancelling", sign: SIGNS.running, tone: "warn" };
  if (job.state === "succeeded" && job.counts.failed + job.counts.cancelled > 0) {
    return { text: "Done in part", sign: "!", tone: "warn" };
  }
  return stateOf(job.state);
}

/** What a job is called: as its maker did, or by what it does. */
export function titleOf(job) {
  return job.metadata.title || `${OPERATIONS[job.operation]?.verb ?? job.operation} with ${job.model}`;
}

/** "12 of 40 done, 1 failed". */
export function countsOf(job) {
  const { total, succeeded, failed, cancelled } = job.counts;
  const parts = [`${number(succeeded)} of ${number(total)}${job.listed ? "" : " or more"} done`];
  if (failed) parts.push(`${number(failed)} failed`);
  if (cancelled) parts.push(`${number(cancelled)} cancelled`);
  return parts.join(", ");
}

/** "3 min ago"; a time that lies ahead "in 6 days". */
export function ago(moment, now = Date.now()) {
  const seconds = (now - Date.parse(moment)) / 1000;
  const text = long(Math.abs(seconds));
  if (Math.abs(seconds) < 5) return "just now";
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

function long(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h`;
  return counted(Math.round(seconds / 86_400), "day");
}

/** A time as the reader's clock shows it. */
export const clock = (moment) =>
  new Date(moment).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** How long it took, or has taken so far. */
export function took(job) {
  if (!job.started_at) return "";
  return duration(
    Math.max(0, ((job.ended_at ? Date.parse(job.ended_at) : Date.now()) - Date.parse(job.started_at)) / 1000),
  );
}
