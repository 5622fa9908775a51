/** The grid: a table whose headers are the pictures that are crossed. */

import { classMap, html, nothing, repeat } from "../../core/lit.js";
import { droppedFavourite, isFavourite } from "../../components/favourites-strip.js";
import { MOST, nameOf, sourceText } from "./sources.js";

/**
 * @param {object} options
 * @param {import("./setting.js").Setting} options.setting
 * @param {(axis: string, source: object) => string|null} options.header URL of the picture of a row or a column
 * @param {(row: object, column: object) => {url: string|null, stale: boolean, kept: string}} options.cell what is shown
 *   of a crossing; `kept` is "yes", "no" or "soon"
 * @param {object} options.on `keep(row, column)`, `open(row, column)`, `remove(axis, at)`, `another(axis, at)`,
 *   `add(axis)`, `drop(axis, favourite, at)`
 */
export function grid({ setting, header, cell, on }) {
  const { rows, columns } = setting;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Grid">
    <table class="crossings" .style=${`--columns: ${columns.length}; --rows: ${rows.length}`} @keydown=${arrows}>
      <caption class="unseen">Rows give the structure, columns the chosen layers.</caption>
      <thead><tr>
        <td class="corner"><div aria-hidden="true"><span>structure&nbsp;↓</span><span>layers&nbsp;→</span></div></td>
        ${repeat(columns, sourceText, (source, at) => head({ axis: "columns", source, at, setting, header, on }))}
        ${adder("columns", columns, on)}
      </tr></thead>
      <tbody>
        ${repeat(rows, sourceText, (row, at) => html`<tr>
          ${head({ axis: "rows", source: row, at, setting, header, on })}
          ${repeat(columns, sourceText, (column) => crossing({ row, column, cell, on }))}
        </tr>`)}
        <tr>${adder("rows", rows, on)}</tr>
      </tbody>
    </table>
  </div>`;
}

function head({ axis, source, at, setting, header, on }) {
  const url = header(axis, source);
  const name = nameOf(source);
  const what = axis === "rows" ? "row" : "column";
  const { over, left, dropped } = target((favourite) => on.drop(axis, favourite, at));
  return html`<th scope=${axis === "rows" ? "row" : "col"} data-source=${`${what}-${at}`}>
    <div class="source" @dragover=${over} @dragleave=${left} @drop=${dropped}>
      ${url ? html`<img class="pixels" src=${url} alt=${`Source of ${what} ${name}`}>` : nothing}
      ${source.own
        ? nothing
        : html`<button type="button" class="mini another" title="Another seed"
            aria-label=${`Another seed for ${what} ${name}`} @click=${() => on.another(axis, at)}>↻</button>`}
      ${setting[axis].length > 1
        ? html`<button type="button" class="mini remove" title="Remove" aria-label=${`Remove ${what} ${name}`}
            @click=${() => on.remove(axis, at)}>×</button>`
        : nothing}
      <span class="name">${name}</span>
    </div>
  </th>`;
}

function adder(axis, sources, on) {
  const what = axis === "rows" ? "row" : "column";
  const { over, left, dropped } = target((favourite) => on.drop(axis, favourite));
  return html`<td class="adder">
    <button type="button" aria-label=${`Add a ${what}`} title=${`Add a ${what}, or drop a favourite here`}
      ?disabled=${sources.length >= MOST} @click=${() => on.add(axis)}
      @dragover=${over} @dragleave=${left} @drop=${dropped}>+</button>
  </td>`;
}

/** Where a favourite can be dropped. */
function target(drop) {
  return {
    over(event) {
      if (!isFavourite(event)) return;
      event.preventDefault();
      event.currentTarget.classList.add("over");
    },
    left: (event) => event.currentTarget.classList.remove("over"),
    dropped(event) {
      event.currentTarget.classList.remove("over");
      const favourite = droppedFavourite(event);
      if (!favourite) return;
      event.preventDefault();
      drop(favourite);
    },
  };
}

function crossing({ row, column, cell, on }) {
  const { url, stale, kept } = cell(row, column);
  const name = `${nameOf(row)} × ${nameOf(column)}`;
  const doing = { yes: "kept; click to drop it", no: "click to keep it", soon: "being kept" }[kept];
  const looks = classMap({ cell: true, stale, kept: kept === "yes", waiting: !url });
  return html`<td class=${looks} aria-busy=${String(stale)}>
    <button type="button" class="keep" data-cell=${name} ?disabled=${stale || kept === "soon"}
      aria-pressed=${String(kept === "yes")} aria-label=${`${name}: keep`} title=${`${name}: ${doing}`}
      @click=${() => on.keep(row, column)}>
      ${url ? html`<img class="pixels" src=${url} alt=${name}>` : nothing}
      <span class="star" aria-hidden="true">${kept === "yes" ? "★" : kept === "soon" ? "…" : "☆"}</span>
    </button>
    <button type="button" class="mini open" aria-label=${`Enlarge ${name}`} title="Enlarge" ?disabled=${stale}
      @click=${() => on.open(row, column)}>⤢</button>
  </td>`;
}

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/** The arrow keys go from picture to picture. */
function arrows(event) {
  const step = STEPS[event.key];
  const from = event.target.closest("td.cell");
  if (!step || !from) return;
  event.preventDefault();
  const body = from.closest("tbody");
  const to = body.rows[from.parentElement.sectionRowIndex + step[0]]?.cells[from.cellIndex + step[1]];
  to?.querySelector(":scope > .keep:enabled")?.focus();
}
