/** A small chart of the last minutes: lines over time, with what they are and how much in words beside them. */

import { html, nothing, svg } from "../../core/lit.js";
import { counted } from "../../core/text.js";

const [WIDTH, HEIGHT] = [600, 120];
const MOST_LINES = 5;
// Of the table: one in ten seconds.
const ROW_EVERY = 5;
const MOST_ROWS = 30;

/**
 * @param {object} options
 * @param {import("./measures.js").Measure} options.measure
 * @param {import("./history.js").Point[]} options.points those in view, the oldest first
 * @param {string[]} options.series in the order in which they got their colours
 * @param {number} options.from the left end, in milliseconds
 * @param {number} options.to the right end
 * @param {number|null} options.pointed a time that is pointed at, if any
 * @param {(at: number|null) => void} options.point told what is pointed at
 * @param {Record<string, number>} [options.counts] how many there were of each series
 */
export function chart({ measure, points, series, from, to, pointed, point, counts }) {
  const lines = linesOf(measure, points, series);
  const top = niceTop(Math.max(measure.least, ...lines.flatMap(({ values }) => values.map((value) => value ?? 0))));
  const at = pointed === null ? points.length - 1 : nearest(points, pointed);
  const x = (time) => ((time - from) / (to - from)) * WIDTH;
  const moved = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    point(from + ((event.clientX - box.left) / box.width) * (to - from));
  };
  return html`<section class="card chart" id=${`chart-${measure.id}`} aria-labelledby=${`title-${measure.id}`}>
    <header>
      <h2 id=${`title-${measure.id}`}>${measure.title}</h2>
      ${counts ? html`<small class="count">${countText(counts, measure.counts)}</small>` : nothing}
    </header>
    ${legend(measure, lines, at)}
    <div class="plot" @pointermove=${moved} @pointerleave=${() => point(null)}>
      <span class="ceiling" aria-hidden="true">${measure.format(top)}</span>
      <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label=${spoken(measure, lines)}>
        ${gapsOf(points).map(([begin, end]) => {
          const width = Math.max(2, x(end) - x(begin));
          return svg`<rect class="gap" x=${x(begin)} y="0" width=${width} height=${HEIGHT}></rect>`;
        })}
        <line class="grid" x1="0" x2=${WIDTH} y1="1" y2="1"></line>
        <line class="grid" x1="0" x2=${WIDTH} y1=${HEIGHT / 2} y2=${HEIGHT / 2}></line>
        <line class="axis" x1="0" x2=${WIDTH} y1=${HEIGHT - 1} y2=${HEIGHT - 1}></line>
        ${lines.map(
          ({ values, look }) => svg`<path class="line look-${look}" d=${pathOf(points, values, x, top)}></path>`,
        )}
        ${pointed !== null && points[at] ? mark(x(points[at].at)) : nothing}
      </svg>
      <p class="times" aria-hidden="true"><span>${Math.round((to - from) / 60_000)} min ago</span><span>now</span></p>
    </div>
    <details>
      <summary>About, and as a table</summary>
      <p><small>${measure.about}</small></p>
      ${table(measure, points, lines)}
    </details>
  </section>`;
}

const mark = (x) => svg`<line class="pointed" x1=${x} x2=${x} y1="0" y2=${HEIGHT}></line>`;

/** The lines to draw: those with the most where there are too many. */
function linesOf(measure, points, series) {
  const all = series.map((name, place) => ({
    name,
    look: place % MOST_LINES,
    values: points.map(({ gap, values }) => {
      const told = gap === null ? values[measure.id] : null;
      return told ? (told[name] ?? measure.missing ?? null) : null;
    }),
  }));
  if (measure.series || all.length <= MOST_LINES) return all;
  const highest = ({ values }) => Math.max(...values.map((value) => value ?? 0));
  const most = [...all].sort((a, b) => highest(b) - highest(a)).slice(0, MOST_LINES);
  return most.map((line, look) => ({ ...line, look }));
}

/** The values where it is pointed at, or of now: with the looks of their lines, so that colour is not all. */
function legend(measure, lines, at) {
  if (lines.length === 0) return html`<p class="legend"><small>${measure.empty ?? "Nothing is known yet."}</small></p>`;
  return html`<ul class="legend">
    ${lines.map(
      ({ name, look, values }) => html`<li data-series=${name}>
        <svg viewBox="0 0 24 8" width="24" height="8" aria-hidden="true">
          <path class="line look-${look}" d="M1 4H23"></path></svg>
        <span class="name">${name}</span> <b>${shown(measure, values[at])}</b>
      </li>`,
    )}
  </ul>`;
}

function table(measure, points, lines) {
  const all = points.map((point, place) => ({ point, place })).reverse();
  const rows = all.filter((_, place) => place % ROW_EVERY === 0).slice(0, MOST_ROWS);
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${`${measure.title} as a table`}>
    <table>
      <thead><tr><th scope="col">Time</th>${lines.map(({ name }) => html`<th scope="col">${name}</th>`)}</tr></thead>
      <tbody>
        ${rows.map(
          ({ point, place }) => html`<tr>
            <th scope="row">${new Date(point.at).toLocaleTimeString()}</th>
            ${point.gap
              ? html`<td colspan=${Math.max(1, lines.length)}>${point.gap}</td>`
              : lines.map(({ values }) => html`<td>${shown(measure, values[place])}</td>`)}
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

const shown = (measure, value) => (value === null || value === undefined ? "–" : measure.format(value));

function spoken(measure, lines) {
  const parts = lines.map(({ name, values }) => {
    const known = values.filter((value) => value !== null);
    const most = known.length ? `, at most ${measure.format(Math.max(...known))}` : "";
    return `${name}: now ${shown(measure, values.at(-1))}${most}`;
  });
  return `${measure.title}. ${parts.join("; ") || measure.empty || "Nothing is known yet."}`;
}

function countText(counts, noun) {
  return counted(Object.values(counts).reduce((sum, count) => sum + count, 0), noun);
}

/** One line, broken where nothing is known; a point that stands alone is a dot. */
function pathOf(points, values, x, top) {
  let path = "";
  let drawing = false;
  values.forEach((value, place) => {
    if (value === null) {
      drawing = false;
      return;
    }
    const to = `${x(points[place].at).toFixed(1)} ${(HEIGHT - 1 - (value / top) * (HEIGHT - 4)).toFixed(1)}`;
    path += drawing ? `L${to}` : `M${to}h.01`;
    drawing = true;
  });
  return path;
}

/** From when to when the server did not answer. */
function gapsOf(points) {
  const gaps = [];
  points.forEach(({ gap, at }, place) => {
    if (gap !== "away") return;
    const before = points[place - 1];
    if (before?.gap === "away") gaps.at(-1)[1] = at;
    else gaps.push([before?.at ?? at, at]);
    const after = points[place + 1];
    if (after && after.gap === null) gaps.at(-1)[1] = after.at;
  });
  return gaps;
}

function nearest(points, time) {
  let best = points.length - 1;
  points.forEach(({ at }, place) => {
    if (Math.abs(at - time) < Math.abs(points[best].at - time)) best = place;
  });
  return best;
}

/** 1, 2 or 5 times a power of ten, at least as much. */
function niceTop(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 2, 5, 10].find((one) => one * power >= value * 0.999);
  return factor * power;
}

