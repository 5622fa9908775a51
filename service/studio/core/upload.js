/** Files that are sent with progress, which `fetch` does not tell of. */

import { Problem } from "./problem.js";

const EVENTS = "text/event-stream";

/**
 * Sends a body by POST.
 *
 * @param {URL} url
 * @param {object} options
 * @param {FormData|Blob} options.body
 * @param {Headers} options.headers
 * @param {AbortSignal} [options.signal] calls it off
 * @param {number} options.limit seconds without a sign of life, while it is sent and until the answer begins
 * @param {(bytes: number, total: number) => void} options.progress
 * @returns {Promise<Response>} the answer, whatever it says; events are read from it as they come
 * @throws {TypeError} if there is none, as `fetch` does
 */
export function sendFiles(url, { body, headers, signal, limit, progress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let timer = 0;
    const off = () => {
      request.abort();
      reject(new DOMException("Called off", "AbortError"));
    };
    const late = () => {
      request.abort();
      reject(Problem.late(limit));
    };
    const alive = () => {
      clearTimeout(timer);
      if (limit) timer = setTimeout(late, limit * 1000);
    };
    const ended = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", off);
    };
    const streams = headers.get("accept") === EVENTS;
    const begun = () => {
      if (!streams || request.readyState !== XMLHttpRequest.HEADERS_RECEIVED) return;
      clearTimeout(timer);
      limit = 0; // from here on it is up to the reader how long is waited
      resolve(new Response(streamOf(request), { status: request.status, headers: headersOf(request) }));
    };
    request.open("POST", url);
    request.responseType = streams ? "text" : "blob";
    request.onreadystatechange = begun;
    for (const [name, value] of headers) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => {
      alive();
      progress(loaded, total);
    };
    request.onprogress = alive;
    request.onload = () => {
      if (!streams) resolve(new Response(request.response, { status: request.status, headers: headersOf(request) }));
    };
    request.onerror = () => reject(new TypeError("The connection broke"));
    request.onloadend = ended;
    signal?.addEventListener("abort", off, { once: true });
    if (signal?.aborted) return off();
    alive();
    request.send(body);
  });
}

/** What comes in, as it comes. */
function streamOf(request) {
  const encoder = new TextEncoder();
  let read = 0;
  return new ReadableStream({
    start(controller) {
      const push = () => {
        const text = request.responseText.slice(read);
        read += text.length;
        if (text) controller.enqueue(encoder.encode(text));
      };
      request.addEventListener("progress", push);
      request.addEventListener("load", () => {
        push();
        controller.close();
      });
      request.addEventListener("error", () => controller.error(new TypeError("The connection broke")));
      request.addEventListener("abort", () => controller.error(new DOMException("Called off", "AbortError")));
    },
    cancel: () => request.abort(),
  });
}

function headersOf(request) {
  const lines = request.getAllResponseHeaders().trim().split(/\r\n/);
  return new Headers(lines.filter(Boolean).map((line) => line.split(/: ?(.*)/s).slice(0, 2)));
}
