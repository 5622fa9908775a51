/**
 * Server-sent events over `fetch`, since `EventSource` sends no key and reads no answers to POST.
 * https://html.spec.whatwg.org/multipage/server-sent-events.html
 */

import { sleep } from "./api.js";
import { Problem, isAbort } from "./problem.js";

const LONGEST_PAUSE_SECONDS = 10;

/**
 * The events of one answer.
 *
 * @param {Response} response
 * @yields {{id: string, event: string, data: string}} `data` as text
 */
export async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let id = "";
  let event = "message";
  let data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
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
 * @throws {Problem} if the server refuses
 */
export async function follow(api, path, { signal, onEvent, onConnection = () => {} }) {
  let last = "";
  let pause = 0.5;
  for (;;) {
    let problem = Problem.unreachable();
    try {
      const headers = last ? { "last-event-id": last } : {};
      const response = await api.call(path, { accept: "text/event-stream", headers, signal });
      onConnection(null);
      for await (const event of eventsOf(response)) {
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
    await sleep(pause, signal);
    pause = Math.min(2 * pause, LONGEST_PAUSE_SECONDS);
  }
}
