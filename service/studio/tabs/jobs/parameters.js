/** What each operation can be told, as fields. */

import { html, live, nothing } from "../../core/lit.js";
import { labelFor, labelsOf, transforms } from "../../core/generator.js";
import { choice, slider } from "../../components/controls.js";
import { check, textField } from "./fields.js";
import { editsFrom, editsText } from "./settings.js";

export function upscaling({ set }, card, { scale }) {
  return slider({
    id: "scale",
    label: "Times larger",
    value: Number(scale || card.scale),
    min: 1,
    max: card.scale,
    step: 0.25,
    change: (value) => set("scale", value === card.scale ? "" : value),
  });
}

export function translating(job, card, { fit = "native", alpha = "flatten", background }) {
  const { set } = job;
  return html`${choice({
      id: "fit",
      label: "Fit",
      value: fit,
      change: (value) => set("fit", value === "native" ? "" : value),
      choices: [
        { value: "native", text: "At its own size" },
        { value: "resize", text: "Squeeze into the model's square" },
        { value: "pad", text: "Pad to a square" },
        { value: "crop", text: "Crop to a square" },
      ],
    })}
    ${fit === "native" ? nothing : check(job, "restore", "Back to the size it had")}
    ${choice({
      id: "alpha",
      label: "Transparency",
      value: alpha,
      change: (value) => set("alpha", value === "flatten" ? "" : value),
      choices: [
        { value: "flatten", text: "Lay onto the background" },
        { value: "keep", text: "Keep" },
        { value: "drop", text: "Ignore" },
      ],
    })}
    <div class="field">
      <label for="background">Background</label>
      <input
        id="background"
        type="color"
        .value=${live(background ?? "#ffffff")}
        @change=${(event) => set("background", event.target.value === "#ffffff" ? "" : event.target.value)}
      />
    </div>`;
}

function labelChoice(card, label, choices, set) {
  const change = (value) => set("label", value);
  return choice({ id: "label", label: "Class", value: labelFor(card, label), choices, change });
}

export function generating(job, card, values) {
  const { set } = job;
  const { truncation = "1", noise = "const", label } = values;
  const labels = labelsOf(card);
  const seeded = /^\d+$/.test(noise);
  return html`${slider({
    id: "truncation",
    label: "Truncation",
    value: Number(truncation),
    min: 0,
    max: 1.5,
    step: 0.05,
    change: (value) => set("truncation", value === 1 ? "" : value),
  })}
  ${labels.length ? labelChoice(card, label, labels, set) : nothing}
  ${choice({
    id: "noise",
    label: "Noise",
    value: noise,
    change: (value) => set("noise", value === "const" ? "" : value),
    choices: [
      { value: "const", text: "The model's own" },
      { value: "none", text: "None" },
      { value: seeded ? noise : "1", text: seeded ? `Fresh, seed ${noise}` : "Fresh" },
    ],
  })}
  ${
    transforms(card, "rotation")
      ? slider({
          id: "rotation",
          label: "Rotation, in degrees",
          value: Number(values.rotation) || 0,
          min: -180,
          max: 180,
          step: 1,
          change: (value) => set("rotation", value || ""),
        })
      : nothing
  }
  ${
    transforms(card, "translation")
      ? textField(job, "translation", "Translation", "To the right and down, in sides, as in 0.25,-0.1")
      : nothing
  }
  ${card.directions?.length ? edits(job, card) : nothing}`;
}

function edits({ values, set }, card) {
  const amounts = editsFrom(values.edits, card);
  const change = (name, amount) => set("edits", editsText({ ...amounts, [name]: amount }));
  return html`<details class="more" ?open=${Object.keys(amounts).length > 0}>
    <summary>Edits</summary>
    <div class="part">
      ${card.directions.map(({ name }, at) =>
        slider({
          id: `edit-${at}`,
          label: name,
          value: amounts[name] ?? 0,
          min: -12,
          max: 12,
          step: 0.5,
          change: (value) => change(name, value),
        }),
      )}
    </div>
  </details>`;
}
