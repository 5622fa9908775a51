/** Frames as the server makes them. */

import { eventsOf } from "../../core/events.js";
import { fromBase64 } from "../../core/files.js";
import { Problem, isAbort } from "../../core/problem.js";

const SILENCE_SECONDS = 60;

/**
 * Asks for the frames of a path.
 *
 * @param {import("../../core/api.js").Api} api
 * @param {object} body of `POST /v1/interpolate`
 * @param {object} options
 * @param {AbortSignal} options.signal calls it off
 * @param {number} options.seconds that the server may take
 * @param {(blob: Blob, index: number) => void} options.take told of each frame, in order
 * @returns {Promise<string>} digest of the model that made them
 * @throws {Problem} the server refuses, cannot go on, or says nothing any more
 */
export async function streamFrames(api, body, { signal, seconds, take }) {
  const silence = new AbortController();
  let timer;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), SILENCE_SECONDS * 1000);
  };
  try {
    const response = await api.call("v1/interpolate", {
      json: body,
      accept: "text/event-stream",
      headers: { prefer: `wait=${seconds}` },
      signal: AbortSignal.any([signal, silence.signal]),
      limit: seconds + 5,
    });
    heard();
    for await (const { event, data } of eventsOf(response)) {
      heard();
      const said = JSON.parse(data);
      if (event === "frame") take(fromBase64(said.b64_json, said.media_type), said.index);
      else if (event === "error") throw new Problem(said);
      else if (event === "done") return said.model_digest;
    }
  } catch (error) {
    if (silence.signal.aborted && !signal.aborted) throw Problem.late(SILENCE_SECONDS);
    if (error instanceof Problem || isAbort(error) || signal.aborted) throw error;
    throw Problem.unreachable(); // the connection broke in the middle
  } finally {
    clearTimeout(timer);
  }
  throw Problem.unreachable();
}
