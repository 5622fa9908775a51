/** The rows or the columns as a list of seeds that is typed. */

import { html, nothing } from "../../core/lit.js";
import { labelsOf } from "../../core/generator.js";
import { parseSeeds, randomSeeds, writeSeeds } from "../../core/seeds.js";
import { choice } from "../../components/controls.js";
import { MOST } from "./sources.js";

const TITLES = { rows: "Rows", columns: "Columns" };
const HINTS = { rows: "Their structure is kept.", columns: "Their layers are taken." };

/**
 * @param {object} options
 * @param {"rows"|"columns"} options.axis
 * @param {object} options.card
 * @param {object[]} options.sources
 * @param {string|null} options.label class of its seeds
 * @param {string} options.fault what is wrong with what was typed, or ""
 * @param {(sources: object[]) => void} options.change
 * @param {(label: string) => void} options.changeLabel
 * @param {(fault: string) => void} options.refuse
 */
export function axisField({ axis, card, sources, label, fault, change, changeLabel, refuse }) {
  const title = TITLES[axis];
  const labels = labelsOf(card);
  const kept = sources.filter(({ own }) => own);
  const seeds = sources.filter(({ own }) => !own).map(({ seed }) => seed);
  const typed = (event) => {
    const text = event.target.value.trim();
    try {
      const given = text || !kept.length ? parseSeeds(text, MOST - kept.length) : [];
      change([...given.map((seed) => ({ seed })), ...kept]);
    } catch (error) {
      refuse(error instanceof RangeError ? error.message.replace(/; Jobs.*/, ".") : String(error));
    }
  };
  const draw = () => change([...randomSeeds(Math.max(1, seeds.length)).map((seed) => ({ seed })), ...kept]);
  const more = kept.length ? ` And ${kept.length} of the favourites.` : "";
  return html`<div class="axis">
    <div class="field">
      <label for=${axis}>${title}</label>
      <div class="typed">
        <input id=${axis} type="text" autocomplete="off" spellcheck="false" .value=${writeSeeds(seeds)} @change=${typed}
          aria-invalid=${fault ? "true" : nothing} aria-describedby=${`${axis}-hint`}>
        <button type="button" @click=${draw} aria-label=${`Random ${axis}`}>Random</button>
      </div>
      <small id=${`${axis}-hint`} role=${fault ? "alert" : nothing} class=${fault ? "fault" : ""}>
        ${fault || `${HINTS[axis]} Seeds as 1-4, 9.${more}`}</small>
    </div>
    ${labels.length
      ? choice({
          id: `${axis}-label`,
          label: `Class of the ${axis}`,
          value: label,
          choices: labels,
          change: changeLabel,
        })
      : nothing}
  </div>`;
}
