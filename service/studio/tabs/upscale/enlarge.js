/** The call that enlarges, and how far it is: as the server says, tile by tile. */

import { eventsOf } from "../../core/events.js";
import { Problem } from "../../core/problem.js";

// Sending a large file takes long on a slow line; the server itself waits for two minutes.
const LIMIT_SECONDS = 180;
const SILENCE_SECONDS = 180;
/** Bytes from which on it is told how far the sending is. */
const LARGE = 64 << 10;

/**
 * How far it is.
 *
 * @typedef {object} Progress
 * @property {"sending"|"waiting"|"computing"|"receiving"} stage
 * @property {number} [done] tiles or bytes
 * @property {number} [of] likewise
 */

/**
 * @param {import("../../core/api.js").Api} api
 * @param {Blob} file
 * @param {Record<string, string>} fields of the form, beside the image
 * @param {object} options
 * @param {AbortSignal} options.signal calls it off, on the server too
 * @param {number} options.seconds how long the server may take
 * @param {(progress: Progress) => void} options.tell
 * @returns {Promise<{blob: Blob, about: object}>} the very file that the plain call answers with, and the event `done`
 * @throws {Problem}
 */
export async function enlarge(api, file, fields, { signal, seconds, tell }) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  form.append("image", file, "image"); // the last part: what is wrong with the others is said before it is sent
  tell({ stage: "sending" });
  const sent = (done, of) => tell(done < of ? { stage: "sending", done, of } : { stage: "waiting" });
  const silence = new Silence(signal);
  try {
    const response = await api.call("v1/super-resolution", {
      body: form,
      accept: "text/event-stream",
      headers: { prefer: `wait=${Math.floor(seconds)}` },
      signal: silence.signal,
      limit: LIMIT_SECONDS,
      sent: file.size > LARGE ? sent : undefined,
    });
    return await received(response, silence, tell);
  } catch (error) {
    if (signal.aborted) throw new DOMException("Called off", "AbortError");
    if (silence.broken) throw Problem.late(SILENCE_SECONDS);
    if (error instanceof TypeError) throw Problem.unreachable(); // the connection broke amid the answer
    throw error;
  } finally {
    silence.end();
  }
}

async function received(response, silence, tell) {
  const parts = [];
  let bytes = 0;
  for await (const { event, data } of eventsOf(response)) {
    silence.heard();
    const said = JSON.parse(data);
    if (event === "progress") tell({ stage: "computing", done: said.tiles, of: said.of });
    if (event === "part") {
      const part = fromBase64(said.b64_json);
      parts.push(part);
      bytes += part.length;
      tell({ stage: "receiving", done: bytes, of: said.bytes });
    }
    if (event === "error") throw new Problem(said);
    if (event === "done") return { blob: new Blob(parts, { type: said.media_type }), about: said };
  }
  throw Problem.unreachable();
}

/** Calls off what says nothing for too long, and what the user calls off. */
class Silence {
  #controller = new AbortController();
  #timer = 0;

  constructor(signal) {
    this.signal = AbortSignal.any([signal, this.#controller.signal]);
    this.broken = false;
  }

  heard() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.broken = true;
      this.#controller.abort();
    }, SILENCE_SECONDS * 1000);
  }

  end() {
    clearTimeout(this.#timer);
  }
}

function fromBase64(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let place = 0; place < raw.length; place++) bytes[place] = raw.charCodeAt(place);
  return bytes;
}
