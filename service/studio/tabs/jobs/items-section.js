/** The items of a job: which of them are shown, the table, and its pages. */

import { html, nothing } from "../../core/lit.js";
import { number } from "../../core/text.js";
import { hashOf } from "../../core/view.js";
import { FILTERS, PAGE } from "./item-page.js";
import { itemsTable } from "./items-table.js";

/** @param {object} options view, job, page (`ItemPage`), thumbnails, and `open` and `save` of `itemsTable` */
export function itemsSection({ view, job, page, thumbnails, open, save }) {
  return html`<section class="card" aria-labelledby="items-title">
    <div class="heading">
      <h2 id="items-title">Items</h2>
      <div class="row filters" role="group" aria-label="Show items">
        ${Object.keys(FILTERS).map((show) => filter(view, job, page, show))}
      </div>
    </div>
    ${
      page.items === null
        ? html`<p class="empty">Looking for items…</p>`
        : page.items.length
          ? itemsTable({ items: page.items, seeds: job.operation === "generate", thumbnails, open, save })
          : html`<p class="empty">
              ${page.show || page.first ? "There are none of these." : "There are no items yet."}
            </p>`
    }
    ${pager(view, job, page)}
  </section>`;
}

function filter(view, job, page, show) {
  const count = show ? job.counts[show] : job.counts.total;
  if (show && !count && page.show !== show) return nothing;
  return html`<button
    type="button"
    class="chip"
    data-show=${show || "all"}
    aria-pressed=${String(page.show === show)}
    @click=${() => goTo(view, show, 0)}
  >
    ${FILTERS[show].text} <span class="count">${number(count)}</span>
  </button>`;
}

function pager(view, job, page) {
  if (!page.first && page.next === null) return nothing;
  const last = page.items?.at(-1)?.n;
  const where = page.items?.length
    ? `${number(page.items[0].n + 1)} – ${number(last + 1)} of ${number(job.counts.total)}`
    : "";
  const jump = (event) => {
    const wanted = event.target.valueAsNumber;
    if (Number.isInteger(wanted) && wanted >= 1) goTo(view, page.show, Math.min(wanted, job.counts.total) - 1);
  };
  const before = page.show ? 0 : Math.max(0, page.first - PAGE);
  return html`<nav class="row pager" aria-label="Pages of items">
    <button type="button" ?disabled=${!page.first} @click=${() => goTo(view, page.show, before)}>
      ${page.show ? "First" : "Previous"}
    </button>
    <span>${where}</span>
    <button type="button" ?disabled=${page.next === null} @click=${() => goTo(view, page.show, page.next)}>
      Next
    </button>
    <label class="jump"
      >From item
      <input type="number" min="1" max=${job.counts.total} .value=${String(page.first + 1)} @change=${jump}
    /></label>
  </nav>`;
}

/** A new entry of the history: "back" is the page before. */
function goTo(view, show, first) {
  const params = new URLSearchParams({
    job: view.params.get("job"),
    ...(show && { show }),
    ...(first && { from: first }),
  });
  location.hash = hashOf(view.tab, params);
}
