/** The items of a job as a table. */

import { html, nothing, ref, repeat } from "../../core/lit.js";
import { bytes, duration, number } from "../../core/text.js";
import { icon } from "../../components/icons.js";
import { adviceOf, ended, stateOf } from "./words.js";

const SMALL = 128; // pixels; a picture that is drawn larger than it is keeps its own

/**
 * @param {object} options
 * @param {object[]} options.items as the API has them
 * @param {boolean} options.seeds whether their names are seeds
 * @param {import("./thumbnails.js").Thumbnails} options.thumbnails
 * @param {(item: object) => void} options.open
 * @param {(item: object) => void} options.save
 */
export function itemsTable({ items, seeds, thumbnails, open, save }) {
  return html`<table class="items">
    <thead>
      <tr>
        <th scope="col"><span class="unseen">Picture</span></th>
        <th scope="col">Item</th>
        <th scope="col">State</th>
        <th scope="col" class="wide">Attempts</th>
        <th scope="col" class="wide">Took</th>
        <th scope="col" class="wide">Size</th>
        <th scope="col"><span class="unseen">Save</span></th>
      </tr>
    </thead>
    <tbody>
      ${repeat(
        items,
        ({ n }) => n,
        (item) => row({ item, seeds, thumbnails, open, save }),
      )}
    </tbody>
  </table>`;
}

function row({ item, seeds, thumbnails, open, save }) {
  const { output, problem, attempts } = item;
  const { text, sign, tone } = stateOf(item.state);
  return html`<tr data-n=${item.n} data-state=${item.state}>
    <td>${picture(item, thumbnails, open)}</td>
    <th scope="row">
      <span class="name">${seeds ? `Seed ${item.name}` : item.name}</span>
      ${problem ? reason(problem) : nothing}
      ${output ? html`<small class="narrow">${sides(output)}, ${bytes(output.size)}</small>` : nothing}
    </th>
    <td>
      <span class=${`badge ${tone}`}><span aria-hidden="true">${sign}</span> ${text}</span>
    </td>
    <td class="wide">${number(attempts)}</td>
    <td class="wide">${took(item)}</td>
    <td class="wide">
      ${output ? html`${output.width} × ${output.height}<br /><small>${bytes(output.size)}</small>` : nothing}
    </td>
    <td>
      ${
        output
          ? html`<button
              type="button"
              class="quiet save"
              aria-label=${`Save ${output.name}`}
              title="Save"
              @click=${() => save(item)}
            >
              ${icon("save")}
            </button>`
          : nothing
      }
    </td>
  </tr>`;
}

const sides = ({ width, height }) => `${width} × ${height}`;

function picture(item, thumbnails, open) {
  const { output } = item;
  if (!output) return html`<span class=${`thumb ${item.state}`}></span>`;
  const url = thumbnails.url(output);
  const kind = output.width <= SMALL ? "pixels" : "";
  return html`<button
    type="button"
    class="thumb"
    .output=${output}
    ${ref(thumbnails.watch)}
    @click=${() => open(item)}
    aria-label=${`Show ${output.name}`}
  >
    ${url ? html`<img class=${kind} src=${url} alt="" loading="lazy" />` : icon("enlarge")}
  </button>`;
}

function reason(problem) {
  const parts = [problem.title, problem.detail].filter(Boolean).map((part) => part.replace(/\.$/, ""));
  return html`<small class="reason">${parts.join(". ")}. <em>${adviceOf(problem)}</em></small>`;
}

function took(item) {
  if (!item.started_at || !item.ended_at || !ended(item)) return "";
  return duration(Math.max(0, (Date.parse(item.ended_at) - Date.parse(item.started_at)) / 1000));
}
