/** The frames of a path: asked for whenever it changes, shown while they come, called off when they are outdated. */

import { progress } from "../../components/controls.js";
import { Latest } from "../../core/latest.js";
import { html } from "../../core/lit.js";
import { counted } from "../../core/text.js";
import { focusSoon } from "./focus.js";
import { bodyOf, obstacle } from "./path.js";
import { Player } from "./player.js";
import { streamFrames } from "./stream.js";

/** Of a slider that still moves. */
const PAUSE_MS = 300;
/** Beyond so many pixels frames are sent smaller; files never are. */
const MOST_PIXELS = 16 << 20;

export class Reel {
  /** "idle", "coming", "there", "stopped" or "failed". */
  state = "idle";
  /** Seconds that the frames took. */
  took = 0;
  #wanted = null; // {path, card, seconds}
  #sign = ""; // of what is wanted
  #timer = 0;
  #latest = new Latest((wanted, signal) => this.#draw(wanted, signal), (problem) => this.#failed(problem));

  /** @param {import("../../core/tab.js").Tab} tab */
  constructor(tab) {
    this.tab = tab;
    this.player = new Player(() => tab.update());
    tab.signal.addEventListener("abort", () => this.want("", null));
  }

  /**
   * Shows the frames of a path, unless it shows them already.
   *
   * @param {string} sign of what the frames depend on; "" for no frames
   * @param {{path: import("./path.js").Path, card: object, seconds: number}|null} wanted `seconds`: that it may take
   * @param {boolean} [atOnce] rather than in a moment, as long as a slider moves
   */
  want(sign, wanted, atOnce = false) {
    this.#wanted = wanted;
    if (sign === this.#sign) return;
    this.#sign = sign;
    this.again(atOnce);
  }

  /** Asks for them anew. */
  again(atOnce = true) {
    this.tab.clearProblem();
    this.#stop();
    this.state = this.#sign === "" ? "idle" : "coming";
    if (this.state === "idle") {
      this.player.clear();
      return;
    }
    this.#timer = setTimeout(() => this.#latest.want(this.#wanted, true), atOnce ? 0 : PAUSE_MS);
    this.player.begin(this.#wanted.path.frames);
  }

  cancel() {
    this.#stop();
    this.state = "stopped";
    this.player.end();
    this.tab.studio.announce(`Stopped at ${this.player.frames.count} of ${this.#wanted.path.frames} frames`);
    focusSoon(this.tab, "#again");
  }

  /** How far it is. */
  status(path) {
    const { count } = this.player.frames;
    const missing = obstacle(path);
    if (missing) return html`<p class="status" role="status">${missing}</p>`;
    if (this.state === "coming") {
      const label = `${count} of ${path.frames} frames`;
      return html`<div class="status">${progress({ label, value: count, max: path.frames })}
        <button type="button" class="quiet" id="cancel" @click=${() => this.cancel()}>Cancel</button></div>`;
    }
    if (this.state === "there") {
      const made = `${counted(count, "frame")}, made in ${this.took.toFixed(1)} s`;
      return html`<p class="status"><small>${made}</small></p>`;
    }
    const stopped = `Stopped at ${count} of ${path.frames} frames.`;
    return html`<p class="status">
      <span>${this.state === "failed" ? "The frames could not be made." : stopped}</span>
      <button type="button" id="again" @click=${() => this.#askedAgain()}>${count ? "Make all" : "Make them"}</button>
    </p>`;
  }

  #askedAgain() {
    this.again();
    focusSoon(this.tab, "#cancel");
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#latest.stop();
  }

  async #draw({ path, card, seconds }, signal) {
    const pixels = path.frames * (card.resolution ?? 0) ** 2;
    const smaller = pixels > MOST_PIXELS ? { frame_format: "webp", quality: 90 } : {};
    const began = performance.now();
    const take = (blob) => {
      if (signal.aborted) return;
      this.player.frames.add(blob);
      this.tab.update();
    };
    await streamFrames(this.tab.studio.api, { ...bodyOf(path), ...smaller }, { signal, seconds, take });
    signal.throwIfAborted();
    this.took = (performance.now() - began) / 1000;
    this.state = "there";
    this.player.end();
    this.tab.studio.announce(`${counted(path.frames, "frame")} are there`);
  }

  #failed(problem) {
    this.state = "failed";
    this.player.end();
    this.tab.fail(problem);
  }
}
