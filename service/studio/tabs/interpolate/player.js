/** Plays frames while they arrive: pictures, play and pause, a slider to any frame. It draws itself. */

import { createRef, html, ref } from "../../core/lit.js";
import { duration } from "../../core/text.js";
import { Frames } from "./frames.js";

const STILL = matchMedia("(prefers-reduced-motion: reduce)");

export class Player {
  frames = new Frames(() => this.#arrived());
  /** The frame on screen, from 0. */
  index = 0;
  /** How many there will be. */
  total = 0;
  /** Whether more are on their way. */
  coming = false;
  fps = 24;
  loop = false;
  #wanted = true; // whether the user wants to see it move
  #running = false;
  #since = 0; // when the frame on screen came on
  #timer = 0;
  #canvas = createRef();
  #slider = createRef();
  #place = createRef();

  /** @param {() => void} update draws the template, for what changes seldom */
  constructor(update) {
    this.update = update;
  }

  /** Other frames are on their way; the last one stays on screen until the first of them is there. */
  begin(total) {
    this.frames.clear();
    this.total = total;
    this.coming = true;
    // Who wants less motion starts it anew each time, but is not interrupted.
    this.#running = STILL.matches ? this.#running : this.#wanted;
    this.index = this.#running ? 0 : Math.min(this.index, total - 1);
    this.update();
  }

  /** No more will come: all are there, or it was called off. */
  end() {
    this.coming = false;
    this.total = this.frames.count || this.total;
    this.index = Math.min(this.index, Math.max(0, this.frames.count - 1));
    this.update();
    this.#arrived();
  }

  clear() {
    cancelAnimationFrame(this.#timer);
    this.#timer = 0;
    this.#running = false;
    this.frames.clear();
    this.total = this.index = 0;
    this.coming = false;
  }

  get playing() {
    return this.#running;
  }

  toggle() {
    this.#wanted = this.#running = !this.#running;
    if (this.#running && !this.coming && this.index >= this.frames.count - 1) this.index = 0;
    this.#since = performance.now();
    this.update();
    this.#arrived();
  }

  /** Shows a frame and stays there. */
  seek(index) {
    this.#wanted = this.#running = false;
    this.index = Math.max(0, Math.min(this.coming ? this.total - 1 : this.frames.count - 1, index));
    this.update();
    this.#paint();
  }

  /** What it looks like; `label` says what is shown to who does not see it. */
  template({ label, side }) {
    const there = this.frames.count > 0;
    const pressed = (event) => this.#key(event);
    const shown = (event) => this.seek(event.target.valueAsNumber);
    return html`<div class="player">
      <div class="screen" tabindex="0" role="group" aria-label="Preview: space plays, arrow keys step"
        @keydown=${pressed} @click=${() => there && this.toggle()}>
        <canvas ${ref(this.#canvas)} class="pixels" width=${side} height=${side} role="img" aria-label=${label}>
        </canvas>
      </div>
      <div class="transport" @keydown=${pressed}>
        <button type="button" class="play" ?disabled=${!there} @click=${() => this.toggle()} title="Space"
          aria-label=${this.#running ? "Pause" : "Play"}>${this.#running ? PAUSE : PLAY}</button>
        <input ${ref(this.#slider)} type="range" min="0" max=${Math.max(1, this.total - 1)} step="1" aria-label="Frame"
          ?disabled=${!there} @input=${shown}>
        <output ${ref(this.#place)} class="place" aria-live="off"></output>
      </div>
    </div>`;
  }

  /** After the template was drawn, as its values are set from here. */
  drawn() {
    this.#paint();
  }

  #arrived() {
    this.#paint();
    if (this.#running && !this.#timer) this.#next();
  }

  #next() {
    this.#timer = requestAnimationFrame((now) => {
      this.#timer = 0;
      if (!this.#running) return;
      this.#advance(now);
      if (this.#running) this.#next();
    });
  }

  #advance(now) {
    const steps = Math.floor(((now - this.#since) * this.fps) / 1000);
    if (steps < 1) return;
    const last = this.frames.count - 1;
    const next = this.index + steps;
    if (next > last && this.coming) this.#go(Math.max(this.index, last), now); // waits for what comes
    else if (next <= last) this.#go(next, steps > 4 ? now : this.#since + (steps * 1000) / this.fps);
    else if (this.loop && last > 0) this.#go(next % (last + 1), now);
    else {
      this.#go(Math.max(0, last), now);
      this.#running = false;
      this.update();
    }
  }

  #go(index, since) {
    if (index !== this.index && !this.frames.bitmap(index, this.loop && !this.coming)) return; // decoded in a moment
    this.index = index;
    this.#since = since;
    this.#paint();
  }

  #paint() {
    const canvas = this.#canvas.value;
    if (!canvas) return;
    const bitmap = this.frames.count ? this.frames.bitmap(this.index, this.loop && !this.coming) : null;
    if (bitmap) {
      const { width, height } = bitmap;
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      canvas.getContext("2d").drawImage(bitmap, 0, 0);
      canvas.dataset.frame = this.index;
    }
    const slider = this.#slider.value;
    const text = this.total ? `${this.index + 1} / ${this.total}` : "";
    slider.value = this.index;
    const words = `Frame ${this.index + 1} of ${this.total}, ${duration(this.index / this.fps)}`;
    slider.setAttribute("aria-valuetext", words);
    slider.style.setProperty("--there", this.total > 1 ? this.frames.count / this.total : 0);
    this.#place.value.textContent = text;
  }

  #key(event) {
    const onSlider = event.target === this.#slider.value;
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -this.total, End: this.total }[event.key];
    if (event.key === " " && event.target.localName !== "button") this.toggle();
    else if (step && !onSlider) this.seek(this.index + step);
    else return;
    event.preventDefault();
  }
}

const PLAY = html`<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M4 2.5v11l9-5.5z"/></svg>`;
const PAUSE = html`<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M4 2.5h3v11H4zm5 0h3v11H9z"/></svg>`;
