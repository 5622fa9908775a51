/** What lies beside the paper: tools, colours, width. */

import { classMap, html, nothing, svg } from "../../core/lit.js";
import { UNITS } from "./drawing.js";

const TOOLS = [
  { id: "pen", name: "Pen", key: "P", shape: svg`<path d="m4 20 1-5L16 4l4 4L9 19z"/><path d="m13.5 6.5 4 4"/>` },
  { id: "line", name: "Line", key: "L", shape: svg`<path d="M5 19 19 5"/>` },
  { id: "oval", name: "Oval", key: "O", shape: svg`<circle cx="12" cy="12" r="8"/>` },
  { id: "fill", name: "Fill", key: "F", shape: svg`<path d="m5 12 7-7 7 7-7 7zm4.5-9.5 4 4M21 16v4"/>
    <path d="M5.5 12h13L12 18.5z" fill="currentColor"/>` },
  { id: "eraser", name: "Eraser", key: "E", shape: svg`<path d="m4 15 9-10 7 6-8 9H8z"/><path d="m8.5 10 7 6"/>` },
];
const ACTS = {
  mirror: svg`<path d="M12 3v18M8 7l-5 10h5zm8 0 5 10h-5z"/>`,
  undo: svg`<path d="M8 5 4 9l4 4M4 9h10a5.5 5.5 0 0 1 0 11h-4"/>`,
  redo: svg`<path d="m16 5 4 4-4 4m4-4H10a5.5 5.5 0 0 0 0 11h4"/>`,
  clear: svg`<path d="M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.5 11v5m3-5v5"/>`,
};

const picture = (shape) =>
  html`<svg class="icon" viewBox="0 0 24 24" width="22" height="22" aria-hidden="true">${shape}</svg>`;

/**
 * @param {import("./drawing-pad.js").DrawingPad} pad
 * @param {import("./media.js").Medium} medium
 */
export function padTools(pad, medium) {
  const { drawing } = pad;
  const act = (name, text, enabled, run) =>
    html`<button type="button" class="quiet tool" id=${`draw-${name}`} aria-label=${text} title=${text}
      ?disabled=${!enabled} @click=${run}>${picture(ACTS[name])}</button>`;
  return html`<div class="pad-tools" role="toolbar" aria-label="Drawing">
    <div class="row" role="group" aria-label="Tool">
      ${TOOLS.map(
        ({ id, name, key, shape }) => html`<button type="button" class="quiet tool" data-tool=${id}
          aria-label=${name} title=${`${name} (${key})`} aria-pressed=${pad.tool === id ? "true" : "false"}
          @click=${() => pad.choose({ tool: id })}>${picture(shape)}</button>`,
      )}
      <button type="button" class="quiet tool" id="draw-mirror" aria-label="Mirror" title="Draw on both halves (M)"
        aria-pressed=${pad.mirrored ? "true" : "false"}
        @click=${() => pad.choose({ mirrored: !pad.mirrored })}>${picture(ACTS.mirror)}</button>
    </div>
    ${medium.colours.length > 1 ? colours(pad, medium) : nothing}
    <label class="width">Width
      <input type="range" id="draw-size" min="8" max="256" step="4" .value=${String(pad.size)}
        aria-valuetext=${`${Math.round((100 * pad.size) / UNITS)} per cent`}
        @input=${(event) => pad.choose({ size: event.target.valueAsNumber })}></label>
    <div class="row" role="group" aria-label="History">
      ${act("undo", "Undo (Ctrl+Z)", drawing.undoable, () => pad.undo())}
      ${act("redo", "Redo (Ctrl+Shift+Z)", drawing.redoable, () => pad.redo())}
      ${act("clear", "Clear the paper", !drawing.blank, () => pad.clear())}
    </div>
  </div>`;
}

function colours(pad, { colours: known }) {
  return html`<div class="row swatches" role="group" aria-label="Colour">
    ${known.map(
      ({ name, value }) => html`<button type="button" aria-label=${name} title=${name}
        class=${classMap({ swatch: true })} .style=${`--swatch: ${value}`}
        aria-pressed=${pad.colour === value ? "true" : "false"}
        @click=${() => pad.choose({ colour: value, tool: pad.tool === "eraser" ? "pen" : pad.tool })}></button>`,
    )}
  </div>`;
}

/** How it is drawn without a pointer. */
export const padKeys = () => html`<details class="keys">
  <summary>Draw with keys</summary>
  <p id="drawing-keys">On the paper, the arrow keys move the pen (with Shift far, with Alt a little) and Space puts it
    down or takes it up; Escape calls off what is being drawn. P pen, L line, O oval, F fill, E eraser, M mirror,
    [ and ] width, U undo, R redo.</p>
</details>`;
