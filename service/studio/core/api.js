/**
 * Calls of the public API. What is the same for all of them is here: the key, time limits, waiting when the server
 * is busy, asking for a key when it wants one, and errors as `Problem`.
 */

import { Problem, isAbort } from "./problem.js";

const LIMIT_SECONDS = 60;
const LONGEST_WAIT_SECONDS = 60;
const TRIES = 6;

/** The server's root: where this page lies, so that a path prefix of a proxy is kept. */
export const ROOT = new URL(".", document.baseURI);

/**
 * Events: `waiting` (detail: seconds, problem) before it is tried again, `unreachable`, `reached` after every answer,
 * `key` when the key has changed.
 */
export class Api extends EventTarget {
  #key = "";
  #asking = null;

  /** @param {(problem: Problem) => Promise<string>} askForKey resolves to a key, or to "" if the user has none */
  constructor(askForKey) {
    super();
    this.askForKey = askForKey;
  }

  /** Whether calls carry a key. It is in memory only: a reload forgets it. */
  get hasKey() {
    return this.#key !== "";
  }

  setKey(key) {
    this.#key = key.trim();
    this.dispatchEvent(new Event("key"));
  }

  /**
   * One call, tried again while the server is busy.
   *
   * @param {string} path below the server's root, as "v1/generate"
   * @param {object} [options]
   * @param {string} [options.method] GET, or POST when there is something to send
   * @param {object} [options.json] sent as JSON
   * @param {FormData|Blob|(() => Promise<FormData>)} [options.body] sent as it is; what a function makes is made anew
   *   for each try, so that after waiting the newest is sent
   * @param {string} [options.accept] media type of the answer
   * @param {Record<string, string>} [options.headers]
   * @param {AbortSignal} [options.signal] calls it off
   * @param {number} [options.limit] seconds until the answer begins; 0 for none
   * @param {boolean} [options.patient] whether to try again when told to; true unless told otherwise
   * @param {(bytes: number, total: number) => void} [options.sent] told how much of a large body has left
   * @returns {Promise<Response>} a success (2xx)
   * @throws {Problem} whatever went wrong
   */
  async call(path, options = {}) {
    const began = performance.now();
    for (let tries = 1; ; tries++) {
      let response;
      try {
        response = await this.#once(path, options);
      } catch (error) {
        if (error instanceof Problem && error.slug === "unreachable") this.#say("unreachable");
        throw error;
      }
      this.#say("reached");
      if (response.ok) return response;
      const problem = await Problem.of(response);
      if (problem.status === 401 && (await this.#ask(problem, options.signal))) {
        tries--;
        continue;
      }
      const wait = problem.retryAfter ?? 2 ** (tries - 1);
      const waited = (performance.now() - began) / 1000;
      const again = [429, 503].includes(problem.status) && options.patient !== false;
      if (!again || tries >= TRIES || waited + wait > LONGEST_WAIT_SECONDS) throw problem;
      this.#say("waiting", { seconds: wait, problem });
      await sleep(wait * (1 + 0.2 * Math.random()), options.signal);
    }
  }

  /** A call whose answer is JSON. */
  async json(path, options = {}) {
    return (await this.call(path, { accept: "application/json", ...options })).json();
  }

  /** A call whose answer is a file; with its headers, which say how it was made. */
  async blob(path, options = {}) {
    const response = await this.call(path, options);
    return { blob: await response.blob(), headers: response.headers };
  }

  async #once(path, { method, json, body, accept, headers, signal, sent: progress, limit = LIMIT_SECONDS }) {
    const sent = new Headers(headers);
    if (accept) sent.set("accept", accept);
    if (json !== undefined) sent.set("content-type", "application/json");
    if (this.#key) sent.set("authorization", `Bearer ${this.#key}`);
    const late = new AbortController();
    const timer = limit ? setTimeout(() => late.abort(), limit * 1000) : undefined;
    try {
      if (progress) {
        clearTimeout(timer); // it has limits of its own
        const { sendFiles } = await import("./upload.js");
        return await sendFiles(new URL(path, ROOT), { body, headers: sent, signal, limit, progress });
      }
      return await fetch(new URL(path, ROOT), {
        method: method ?? (json !== undefined || body !== undefined ? "POST" : "GET"),
        body: json !== undefined ? JSON.stringify(json) : typeof body === "function" ? await body() : body,
        headers: sent,
        signal: signal ? AbortSignal.any([signal, late.signal]) : late.signal,
        credentials: "omit",
      });
    } catch (error) {
      if (error instanceof Problem) throw error;
      if (late.signal.aborted && !signal?.aborted) throw Problem.late(limit);
      if (isAbort(error) || signal?.aborted) throw new DOMException("Called off", "AbortError");
      throw Problem.unreachable();
    } finally {
      clearTimeout(timer);
    }
  }

  /** Asks for a key once for all calls that need one at the time; says whether there is a new one. */
  async #ask(problem, signal) {
    const before = this.#key;
    this.#asking ??= this.askForKey(problem).finally(() => (this.#asking = null));
    const key = await this.#asking;
    if (signal?.aborted) throw new DOMException("Called off", "AbortError");
    if (key && key !== this.#key) this.setKey(key);
    return key !== "" && this.#key !== before;
  }

  #say(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** Waits, unless it is called off. */
export function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    const off = () => {
      clearTimeout(timer);
      reject(new DOMException("Called off", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", off);
      resolve();
    }, seconds * 1000);
    if (signal?.aborted) off();
    signal?.addEventListener("abort", off, { once: true });
  });
}

/** What was promised, unless it is called off before; the work itself goes on. */
export function unlessAborted(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const off = () => reject(new DOMException("Called off", "AbortError"));
    if (signal.aborted) off();
    signal.addEventListener("abort", off, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", off));
  });
}
