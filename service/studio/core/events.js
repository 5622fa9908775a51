/**
 * Server-sent events over `fetch`, since `EventSource` sends no key and reads no answers to POST.
 * https://html.spec.whatwg.org/multipage/server-sent-events.html
 */

import { sleep } from "./api.js";
import { Problem, isAbort } from "./problem.js";

const LONGEST_PAUSE_SECONDS = 10;
const LONGEST_SILENCE_SECONDS = 60; // the server says something every 15 s, if only that it is still there

/**
 * The events of one answer.
 *
 * @param {Response} response
 * @param {number} [silence] seconds without a byte after which the connection is taken for lost; 0 for none
 * @yields {{id: string, event: string, data: string}} `data` as text
 */
export async function* eventsOf(response, silence = 0) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let id = "";
  let event = "message";
  let data = [];
  try {
    for (;;) {
      const timer = silence ? setTimeout(() => reader.cancel().catch(() => {}), silence * 1000) : undefined;
      const { done, value } = await reader.read().finally(() => clearTimeout(timer));
      if (done) return;
      text += value;
      const lines = text.split(/\r\n|\n|\r(?!$)/);
      text = lines.pop();
      for (const line of lines) {
        if (line === "") {
          if (data.length) yield { id, event, data: data.join("\n") };
          event = "message";
          data = [];
          continue;
        }
        const [, field, content] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
        if (field === "data") data.push(content ?? "");
        else if (field === "event") event = content ?? "message";
        else if (field === "id") id = content ?? "";
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * The events of a resource that goes on: when the connection breaks it is made again from the last event on.
 *
 * @param {import("./api.js").Api} api
 * @param {string} path
 * @param {object} options
 * @param {AbortSignal} options.signal ends it
 * @param {(event: {id: string, event: string, data: string}) => boolean|void} options.onEvent returns true at the last
 * @param {(problem: Problem|null) => void} [options.onConnection] a problem while it is away, null when it is back
 * @param {EventTarget} [options.connection] tried again at once when it says `back`; see `core/connection.js`
 * @throws {Problem} if the server refuses
 */
export async function follow(api, path, { signal, onEvent, onConnection = () => {}, connection }) {
  let last = "";
  let pause = 0.5;
  for (;;) {
    let problem = Problem.unreachable();
    try {
      const headers = last ? { "last-event-id": last } : {};
      const response = await api.call(path, { accept: "text/event-stream", headers, signal, patient: false });
      onConnection(null);
      if (response.status === 204) return; // all has been told
      for await (const event of eventsOf(response, LONGEST_SILENCE_SECONDS)) {
        if (event.id) last = event.id;
        pause = 0.5;
        if (onEvent(event)) return;
      }
    } catch (error) {
      if (isAbort(error) || signal.aborted) throw error;
      if (error instanceof Problem) {
        if (!error.passing) throw error;
        problem = error;
      }
    }
    onConnection(problem);
    await sleepUntilBack(Math.max(pause, problem.retryAfter ?? 0), signal, connection);
    pause = Math.min(2 * pause, LONGEST_PAUSE_SECONDS);
  }
}

/** Waits, but no longer than until the server is back. */
async function sleepUntilBack(seconds, signal, connection) {
  const back = new AbortController();
  connection?.addEventListener("back", () => back.abort(), { once: true, signal });
  await sleep(seconds, AbortSignal.any([signal, back.signal])).catch((error) => {
    if (signal.aborted) throw error;
  });
}
