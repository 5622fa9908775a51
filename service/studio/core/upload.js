/** Files that are sent with progress, which `fetch` does not tell of. */

import { Problem } from "./problem.js";

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
 * @returns {Promise<Response>} the answer, whatever it says
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
    request.open("POST", url);
    request.responseType = "blob";
    for (const [name, value] of headers) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => {
      alive();
      progress(loaded, total);
    };
    request.onprogress = alive;
    request.onload = () => resolve(new Response(request.response, { status: request.status, headers: headersOf(request) }));
    request.onerror = () => reject(new TypeError("The connection broke"));
    request.onloadend = ended;
    signal?.addEventListener("abort", off, { once: true });
    if (signal?.aborted) return off();
    alive();
    request.send(body);
  });
}

function headersOf(request) {
  const lines = request.getAllResponseHeaders().trim().split(/\r\n/);
  return new Headers(lines.filter(Boolean).map((line) => line.split(/: ?(.*)/s).slice(0, 2)));
}
