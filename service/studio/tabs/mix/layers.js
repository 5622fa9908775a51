/** Which layers are taken of the columns: by group, or one by one. */

import { html, nothing } from "../../core/lit.js";

const MEANING = { coarse: "Outline and pose", middle: "Parts", fine: "Texture and colour" };

/** The groups of a generator that hold any layer, as `[name, layers]`. */
const groupsOf = (card) => Object.entries(card.layer_groups ?? {}).filter(([, layers]) => layers.length);

/** Layers out of a URL: groups and numbers, with commas. */
export function layersFrom(text, card) {
  const groups = Object.fromEntries(groupsOf(card));
  const chosen = new Set();
  for (const part of text.split(",")) {
    if (Object.hasOwn(groups, part)) groups[part].forEach((layer) => chosen.add(layer));
    else if (/^\d+$/.test(part) && Number(part) < card.num_ws) chosen.add(Number(part));
  }
  // A generator without that group: what it has.
  if (!chosen.size && text !== "none") groupsOf(card).at(-1)?.[1].forEach((layer) => chosen.add(layer));
  return sorted(chosen);
}

/** The shortest text for them. */
export function layersText(layers, card) {
  const value = layersValue(layers, card);
  return Array.isArray(value) ? value.join(",") : value;
}

/** As the API takes them: groups if they are whole groups, else numbers. */
export function layersValue(layers, card) {
  const whole = groupsOf(card).filter(([, held]) => held.every((layer) => layers.includes(layer)));
  if (whole.flatMap(([, held]) => held).length !== layers.length) return layers;
  return whole.length === 1 ? whole[0][0] : whole.map(([name]) => name);
}

/** The pixels that a layer draws, where the family tells; otherwise an empty text. */
export function resolutionOf(layer, card) {
  if (card.family !== "stylegan2") return "";
  const side = 2 ** (2 + Math.ceil(layer / 2));
  return side > card.resolution ? "colour" : `${side}×${side}`;
}

/**
 * @param {object} options
 * @param {object} options.card
 * @param {number[]} options.layers
 * @param {(layers: number[]) => void} options.change
 */
export function layersPanel({ card, layers, change }) {
  return html`<fieldset class="layers">
    <legend class="label">Taken of the columns</legend>
    <div class="groups">
      ${groupsOf(card).map(([name, held]) => group({ name, held, layers, change }))}
    </div>
    ${layers.length ? nothing : html`<p class="hint" role="status">Choose what is taken of the columns.</p>`}
    ${card.num_ws > 1
      ? html`<details class="single">
          <summary>Single layers</summary>
          <div class="checks">
            ${Array.from({ length: card.num_ws }, (_, layer) => single({ layer, card, layers, change }))}
          </div>
        </details>`
      : nothing}
  </fieldset>`;
}

function group({ name, held, layers, change }) {
  const among = held.filter((layer) => layers.includes(layer)).length;
  const pressed = among === 0 ? "false" : among === held.length ? "true" : "mixed";
  const toggle = () => {
    const others = layers.filter((layer) => !held.includes(layer));
    change(sorted(pressed === "true" ? others : [...others, ...held]));
  };
  const span = held.length === 1 ? `layer ${held[0]}` : `layers ${held[0]}–${held.at(-1)}`;
  return html`<button type="button" class="group" data-group=${name} aria-pressed=${pressed} @click=${toggle}>
    <strong>${name}</strong><span>${MEANING[name] ?? ""}</span><span class="span">${span}</span>
  </button>`;
}

function single({ layer, card, layers, change }) {
  const flip = (event) => {
    const others = layers.filter((other) => other !== layer);
    change(sorted(event.target.checked ? [...others, layer] : others));
  };
  return html`<label class="check"><input type="checkbox" name="layer" value=${layer} .checked=${layers.includes(layer)}
    @change=${flip}><span>${layer} <small>${resolutionOf(layer, card)}</small></span></label>`;
}

const sorted = (layers) => [...layers].sort((one, other) => one - other);
