/** The file: in which format, made by the server, saved by the browser. */

import { choice, slider, working } from "../../components/controls.js";
import { download } from "../../core/files.js";
import { html, nothing } from "../../core/lit.js";
import { bytes } from "../../core/text.js";
import { FORMATS, FRAME_FORMATS, fileBody, fileName, hasFrames, hasQuality } from "./file.js";
import { focusSoon } from "./focus.js";

const QUALITY = 90;

export class Saving {
  #asking = null;

  /** @param {import("../../core/tab.js").Tab} tab */
  constructor(tab) {
    this.tab = tab;
  }

  /**
   * @param {object} options
   * @param {import("./path.js").Path} options.path
   * @param {object} options.file see `file.js`
   * @param {object} options.limits of the server
   * @param {object} options.card of the model
   * @param {boolean} options.possible whether the path can be drawn
   * @param {(values: object) => void} options.change of `file`
   */
  template({ path, file, limits, card, possible, change }) {
    const fault = tooLarge(path, limits, card);
    const submitted = (event) => this.#submitted(event, path, file, limits);
    return html`<form class="card saving" aria-label="The file" @submit=${submitted}>
      ${choice({
        id: "format",
        label: "Save as",
        value: file.format,
        choices: formats(limits),
        change: (format) => change({ format }),
      })}
      ${hasFrames(file)
        ? choice({
            id: "frame-format",
            label: file.format === "zip" ? "Frames as" : "Picture as",
            value: file.frame_format,
            choices: Object.entries(FRAME_FORMATS).map(([value, text]) => ({ value, text })),
            change: (value) => change({ frame_format: value }),
          })
        : nothing}
      ${hasQuality(file) ? quality(file, change) : nothing}
      ${this.#asking
        ? working("The server makes the file", () => this.#asking.abort())
        : html`<button class="primary" id="save" ?disabled=${!possible || fault !== ""}>Save</button>`}
      ${fault && possible ? html`<small class="fault">${fault}</small>` : nothing}
    </form>`;
  }

  async #submitted(event, path, file, limits) {
    event.preventDefault();
    if (this.#asking) return;
    this.#asking = new AbortController();
    this.tab.update();
    focusSoon(this.tab, ".saving .progress button");
    await this.tab.attempt(() => this.#save(path, file, Math.floor(limits.max_deadline_seconds)));
    this.#asking = null;
    const here = this.tab.root.querySelector(".saving .progress button") === document.activeElement;
    this.tab.update();
    if (here) focusSoon(this.tab, "#save");
  }

  async #save(path, file, seconds) {
    const { studio, signal } = this.tab;
    const name = fileName(path, file);
    const { blob } = await studio.api.blob("v1/interpolate", {
      json: fileBody(path, file),
      headers: { prefer: `wait=${seconds}` },
      signal: AbortSignal.any([signal, this.#asking.signal]),
      limit: seconds + 5,
    });
    download(blob, name);
    studio.announce(`${name} is saved: ${bytes(blob.size)}`);
  }
}

/** Those that the server has; MP4 needs a video encoder there. */
function formats({ animation_formats: animations }) {
  const known = ["zip", "sheet", ...animations];
  const there = Object.entries(FORMATS).filter(([name]) => known.includes(name));
  return there.map(([value, { text }]) => ({ value, text }));
}

function quality(file, change) {
  const lossless = file.format === "mp4" ? "As good as can be seen" : "Without loss";
  const checked = (event) => change({ quality: event.target.checked ? QUALITY : null });
  const { quality: value } = file;
  return html`<label class="check">
      <input id="smaller" type="checkbox" .checked=${value !== null} @change=${checked}>
      <span>Smaller file</span> ${value === null ? html`<small>${lossless}</small>` : nothing}</label>
    ${value === null
      ? nothing
      : slider({
          id: "quality",
          label: "Quality",
          value,
          min: 1,
          max: 100,
          step: 1,
          change: (to) => change({ quality: Math.round(to) }),
        })}`;
}

function tooLarge({ frames }, { max_animation_pixels: most }, { resolution }) {
  const count = Math.floor(most / (resolution * resolution || 1));
  return frames > count ? `A file holds at most ${count} frames of ${resolution} × ${resolution}.` : "";
}
