/** A job on its way. */

import { html, nothing } from "../../core/lit.js";
import { bytes, counted } from "../../core/text.js";

/**
 * @param {import("./sending.js").Sending} sending
 * @param {import("./draft.js").Draft} draft
 */
export function sendingCard(sending, draft) {
  const { sent, total, problem, files } = sending.now;
  const all = total > 0 && sent >= total;
  const label = !files
    ? "Making the job"
    : all
      ? "All has been sent; the server is storing it"
      : `${bytes(sent)} of ${bytes(total || draft.bytes)} sent`;
  return html`<section class="card sending" aria-label="New job">
    <h2>${files ? `Sending ${counted(draft.count, "file")}` : "Making the job"}</h2>
    <div class="progress">
      ${
        !files || all || !total
          ? html`<progress aria-label=${label}></progress>`
          : html`<progress aria-label=${label} .value=${sent} max=${total}></progress>`
      }
      <span>${label}</span>
      <button type="button" id="stop-sending" @click=${() => sending.cancel()}>Cancel</button>
    </div>
    ${
      problem
        ? html`<p class="notice bad" role="status">
            <span
              ><strong>${problem.title}.</strong> It is sent again when the server is back; one job is made in any
              case.</span
            >
          </p>`
        : nothing
    }
    <p>
      <small>Keep this page open until all has been sent. Other tabs of the studio can be used meanwhile.</small>
    </p>
  </section>`;
}
