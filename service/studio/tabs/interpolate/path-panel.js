/** How the path leads through its keyframes, and how fast. */

import { choice, modelChoice, numberField, slider } from "../../components/controls.js";
import { html, nothing } from "../../core/lit.js";
import { MAX_SEED } from "../../core/generator.js";
import { duration } from "../../core/text.js";
import { EASINGS } from "./path.js";

const EASING_WORDS = {
  linear: "Even",
  "ease-in": "Slow start",
  "ease-out": "Slow end",
  "ease-in-out": "Slow start and end",
};
const NOISE = [
  { value: "const", text: "As trained" },
  { value: "none", text: "None" },
  { value: "seed", text: "Fresh, of a seed" },
];

/**
 * @param {object} options
 * @param {import("./path.js").Path} options.path
 * @param {object[]} options.cards to choose from
 * @param {number} options.most frames that the server makes
 * @param {(values: object) => void} options.change
 * @param {(name: string) => void} options.model told which was chosen
 */
export function pathPanel({ path, cards, most, change, model }) {
  const { frames, fps, space, easing, loop } = path;
  const choices = EASINGS.map((value) => ({ value, text: EASING_WORDS[value] }));
  return html`<form class="controls" aria-label="The path" @submit=${(event) => event.preventDefault()}>
    ${modelChoice({ id: "model", models: cards, value: path.model, change: model })}
    ${slider({
      id: "frames",
      label: "Frames",
      value: frames,
      min: 2,
      max: Math.min(most, Math.max(240, frames)),
      step: 1,
      change: (count) => change({ frames: Math.round(count) }),
      hint: `${duration(frames / fps)} at ${fps} frames a second.`,
    })}
    ${slider({
      id: "fps",
      label: "Frames a second",
      value: fps,
      min: 1,
      max: 60,
      step: 1,
      change: (rate) => change({ fps: rate }),
    })}
    <label class="check">
      <input id="loop" type="checkbox" .checked=${loop} @change=${(event) => change({ loop: event.target.checked })}>
      <span>Loop: back to the first keyframe</span></label>
    <div class="pair">
      ${choice({
        id: "space",
        label: "Space",
        value: space,
        choices: [
          { value: "w", text: "w: straight" },
          { value: "z", text: "z: along the arc" },
        ],
        change: (value) => change({ space: value }),
      })}
      ${choice({ id: "easing", label: "Easing", value: easing, choices, change: (value) => change({ easing: value }) })}
    </div>
    ${noise(path, change)}
  </form>`;
}

function noise({ noise: value }, change) {
  const kind = typeof value === "number" ? "seed" : value;
  const chosen = (name) => change({ noise: name === "seed" ? 0 : name });
  const seeded = (seed) => change({ noise: Math.round(seed) });
  return html`<div class="pair">
    ${choice({ id: "noise", label: "Noise", value: kind, choices: NOISE, change: chosen })}
    ${kind === "seed"
      ? numberField({ id: "noise-seed", label: "Its seed", value, min: 0, max: MAX_SEED, change: seeded })
      : nothing}
  </div>`;
}
