/** Messages about what went wrong. */

import { html, nothing } from "../core/lit.js";

/**
 * A problem as a message.
 *
 * @param {import("../core/problem.js").Problem} problem
 * @param {object} [actions]
 * @param {() => void} [actions.close]
 * @param {() => void} [actions.retry]
 */
export function notice(problem, { close, retry } = {}) {
  const { faults, advice, fields } = problem;
  return html`<section class="notice bad" role="alert" data-problem=${problem.slug}>
    <p><strong>${problem.title}.</strong> ${problem.detail} ${advice}</p>
    ${faults.length
      ? html`<ul>
          ${faults.map(({ place, message }) => html`<li>${place ? html`<code>${place}</code>: ` : nothing}${message}</li>`)}
        </ul>`
      : nothing}
    <p class="row">
      ${retry ? html`<button type="button" @click=${retry}>Try again</button>` : nothing}
      ${close ? html`<button type="button" class="quiet" @click=${close}>Close</button>` : nothing}
      ${fields.request_id ? html`<small>Request <code>${fields.request_id}</code></small>` : nothing}
    </p>
  </section>`;
}

/** Something that is not there, and what would bring it. */
export const empty = (text) => html`<p class="empty">${text}</p>`;
