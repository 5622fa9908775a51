/**
 * A job on its way to the server. It goes on while another tab is looked at; whoever closes the page is asked first.
 * One job is made, however often the connection breaks: every attempt has the same Idempotency-Key.
 */

import { sleep } from "../../core/api.js";
import { Problem, isAbort } from "../../core/problem.js";
import { draftOf } from "./draft.js";

const LIMIT_SECONDS = 120;
const ATTEMPTS = 4;
const LOST = ["unreachable", "late"];

/** Events: `change`; `made` with the job; `failed` with the error. */
export class Sending extends EventTarget {
  /** `sent` and `total` bytes, `problem` while it waits to try again, `attempt` from 1; null if nothing is sent. */
  now = null;
  /** Why the last one was not made, until the next is sent. */
  failure = null;
  #off = null;

  /** @param {import("../../core/api.js").Api} api */
  constructor(api) {
    super();
    this.api = api;
  }

  cancel() {
    this.#off?.abort();
  }

  /**
   * Sends a job.
   *
   * @param {object} request as JSON
   * @param {() => FormData} [form] the same with files, if there are any
   */
  async send(request, form) {
    this.#off = new AbortController();
    this.failure = null;
    this.now = { sent: 0, total: 0, problem: null, attempt: 1, files: Boolean(form) };
    const stay = (event) => event.preventDefault();
    addEventListener("beforeunload", stay);
    this.#changed();
    try {
      this.dispatchEvent(new CustomEvent("made", { detail: await this.#made(request, form, this.#off.signal) }));
    } catch (error) {
      if (!isAbort(error)) {
        this.failure = error;
        this.dispatchEvent(new CustomEvent("failed", { detail: error }));
      }
    } finally {
      removeEventListener("beforeunload", stay);
      this.now = null;
      this.#changed();
    }
  }

  async #made(request, form, signal) {
    const key = freshKey();
    const headers = { "idempotency-key": key };
    for (;;) {
      try {
        const body = form
          ? { body: form(), sent: (sent, total) => this.#progress(sent, total) }
          : { json: request };
        return await this.api.json("v1/jobs", { ...body, headers, signal, limit: LIMIT_SECONDS, patient: false });
      } catch (error) {
        if (!(error instanceof Problem) || !(LOST.includes(error.slug) || error.status === 503)) throw error;
        if (++this.now.attempt > ATTEMPTS && error.status === 503) throw error;
        Object.assign(this.now, { problem: error, sent: 0, total: 0 });
        this.#changed();
        await sleep(error.retryAfter ?? 0.5, signal);
        const made = await this.#find(key, signal);
        if (made) return made;
        if (this.now.attempt > ATTEMPTS) throw broken();
        this.now.problem = null;
        this.#changed();
      }
    }
  }

  /** The job of a key, if an attempt of which no answer came has made it; waits until the server can be asked. */
  async #find(key, signal) {
    for (let pause = 0.5; ; pause = Math.min(5, 2 * pause)) {
      try {
        const { data } = await this.api.json(`v1/jobs?idempotency_key=${key}`, { signal });
        return data[0] ?? null;
      } catch (error) {
        if (!(error instanceof Problem) || !error.passing) throw error;
      }
      await sleep(pause, signal);
    }
  }

  #progress(sent, total) {
    Object.assign(this.now, { sent, total });
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** `crypto.randomUUID` is not there on pages without TLS. */
function freshKey() {
  const random = [...crypto.getRandomValues(new Uint8Array(16))];
  return `studio-${random.map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

const broken = () =>
  new Problem({
    type: "studio/upload-broken",
    title: "The files did not arrive",
    detail:
      `The connection broke ${ATTEMPTS} times while they were sent, though the server can be reached. No job was ` +
      "made. A proxy before the server may refuse so much at once: send less, or the files as several jobs.",
  });

const sendings = new WeakMap();

/** The one of a studio. */
export function sendingOf(studio) {
  if (!sendings.has(studio)) {
    const sending = new Sending(studio.api);
    // Also when nobody looks at the tab any more.
    sending.addEventListener("made", () => {
      draftOf(studio).clear();
      studio.announce("The job is made");
    });
    sendings.set(studio, sending);
  }
  return sendings.get(studio);
}
