/**
 * What went wrong, in one shape: what the server says as problem+json (RFC 9457), and what kept it from saying
 * anything. Every call of `core/api.js` throws these and nothing else, but for `AbortError` when it is called off.
 */

/** What to do about it, where the server's `detail` leaves that open; by the last part of `type`. */
const ADVICE = {
  unauthenticated: "Enter an API key (the key symbol at the top).",
  forbidden: "Ask whoever runs this server for a key that may do this.",
  "queue-full": "Others are being served; it is tried again by itself.",
  "rate-limited": "It is tried again by itself once the limit allows.",
  "triton-unavailable": "The server that computes is away. This page waits for it.",
  "deadline-exceeded": "Ask for less at a time, or again when the server is less busy.",
  "model-not-found": "It may have been unloaded; choose another model.",
};

export class Problem extends Error {
  /**
   * @param {object} fields members of the problem+json document
   * @param {number} [retryAfter] seconds after which the server asks to be asked again
   */
  constructor(fields, retryAfter) {
    super(fields.detail || fields.title);
    this.name = "Problem";
    this.type = fields.type ?? "about:blank";
    this.slug = this.type.split("/").pop();
    this.title = fields.title ?? "Something went wrong";
    this.detail = fields.detail ?? "";
    this.status = fields.status ?? 0;
    this.fields = fields;
    this.retryAfter = retryAfter;
  }

  /** What the user can do, or an empty text. */
  get advice() {
    return ADVICE[this.slug] ?? "";
  }

  /** What was wrong with the request, as `[{place, message}]`. */
  get faults() {
    const given = this.fields.errors;
    if (!Array.isArray(given)) return [];
    return given.map((fault) => ({
      place: fault.field ?? fault.pointer ?? "",
      message: fault.detail ?? fault.message ?? String(fault),
    }));
  }

  /** Whether the same call may succeed later. */
  get passing() {
    return [0, 408, 429, 502, 503, 504].includes(this.status);
  }

  /** Of an answer that is no success. */
  static async of(response) {
    const retryAfter = seconds(response.headers.get("retry-after"));
    const kind = response.headers.get("content-type") ?? "";
    if (kind.startsWith("application/problem+json")) {
      const fields = await response.json().catch(() => null);
      if (fields) return new Problem({ status: response.status, ...fields }, retryAfter);
    }
    return new Problem(
      {
        title: `The server answered ${response.status}`,
        detail: "Something between this page and ganserve may have answered; it says nothing more.",
        status: response.status,
      },
      retryAfter,
    );
  }

  static unreachable() {
    return new Problem({
      type: "studio/unreachable",
      title: "The server cannot be reached",
      detail: "It may be starting again, or the network is down. This page goes on when it is back.",
    });
  }

  static late(limit) {
    return new Problem({
      type: "studio/late",
      title: "No answer in time",
      detail: `The server did not answer within ${limit} s, and is not waited for any longer.`,
    });
  }
}

function seconds(header) {
  const value = Number(header);
  return header === null || !Number.isFinite(value) ? undefined : value;
}

/** Whether an error only says that a call was called off. */
export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}
