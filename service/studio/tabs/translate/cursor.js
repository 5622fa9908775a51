/** Where the pen is: a ring as wide as its line, moved by the pointer, or by the arrow keys. */

import { UNITS } from "./drawing.js";

const STEP = 16;
const LONG_STEP = 128;
const FINE_STEP = 4;
const PAUSE = 600; // milliseconds without a key before it is said where the pen is
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const TOOLS = { p: "pen", l: "line", o: "oval", f: "fill", e: "eraser" };
const LEAST_SIZE = 8;
const MOST_SIZE = 256;

export class Cursor {
  element = document.createElement("div");
  #pad;
  #announce;
  #x = UNITS / 2;
  #y = UNITS / 2;
  #timer = 0;

  /**
   * @param {import("./drawing-pad.js").DrawingPad} pad
   * @param {(text: string) => void} announce
   */
  constructor(pad, announce) {
    this.#pad = pad;
    this.#announce = announce;
    this.element.className = "cursor";
    this.element.setAttribute("aria-hidden", "true");
    pad.canvas.addEventListener("keydown", (event) => this.#pressed(event));
    pad.canvas.addEventListener("blur", () => pad.end());
    pad.canvas.addEventListener("pointerleave", () => this.element.classList.remove("hovers"));
  }

  /** Goes where a pointer is. */
  follow(event) {
    const box = this.#pad.canvas.getBoundingClientRect();
    this.#x = within(((event.clientX - box.left) / box.width) * UNITS);
    this.#y = within(((event.clientY - box.top) / box.height) * UNITS);
    this.element.classList.toggle("hovers", event.pointerType !== "touch");
    this.show();
  }

  /** Shows it where and as wide as it is. */
  show() {
    const { style } = this.element;
    style.setProperty("--x", this.#x / UNITS);
    style.setProperty("--y", this.#y / UNITS);
    style.setProperty("--width", this.#pad.size / UNITS);
    this.element.classList.toggle("down", this.#pad.doing);
  }

  #pressed(event) {
    if (event.ctrlKey || event.metaKey) return;
    const act = this.#actOf(event);
    if (!act) return;
    event.preventDefault();
    act();
    this.show();
  }

  #actOf({ key, shiftKey, altKey, repeat }) {
    const pad = this.#pad;
    if (ARROWS[key]) return () => this.#move(ARROWS[key], altKey ? FINE_STEP : shiftKey ? LONG_STEP : STEP);
    if (altKey) return null;
    const letter = key.toLowerCase();
    if (key === " " || key === "Enter") return () => !repeat && this.#toggle();
    if (key === "Escape" && pad.doing) return () => this.#called("Called off", () => pad.drop());
    if (TOOLS[letter]) return () => this.#called(TOOLS[letter], () => pad.choose({ tool: TOOLS[letter] }));
    if (letter === "m") {
      const mirrored = !pad.mirrored;
      return () => this.#called(mirrored ? "Mirrored" : "Not mirrored", () => pad.choose({ mirrored }));
    }
    if (letter === "u") return () => this.#called("Undone", () => pad.undo());
    if (letter === "r") return () => this.#called("Done again", () => pad.redo());
    if (key === "[") return () => this.#resize(1 / 1.25);
    if (key === "]") return () => this.#resize(1.25);
    return null;
  }

  #called(text, act) {
    act();
    this.#announce(text);
  }

  #resize(factor) {
    const size = Math.round(Math.min(MOST_SIZE, Math.max(LEAST_SIZE, this.#pad.size * factor)));
    this.#called(`Width ${Math.round((100 * size) / UNITS)} per cent`, () => this.#pad.choose({ size }));
  }

  #move([across, down], step) {
    this.#x = within(this.#x + across * step);
    this.#y = within(this.#y + down * step);
    if (this.#pad.doing) this.#pad.move(this.#x, this.#y);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#announce(this.#where()), PAUSE);
  }

  #toggle() {
    const pad = this.#pad;
    if (pad.doing) {
      pad.end();
      this.#announce(`Pen up. ${this.#where()}`);
    } else {
      pad.begin(this.#x, this.#y);
      this.#announce(pad.doing ? `Pen down. ${this.#where()}` : "Filled");
    }
  }

  #where() {
    const share = (units) => Math.round((100 * units) / UNITS);
    return `${share(this.#x)} per cent across, ${share(this.#y)} down`;
  }
}

const within = (units) => Math.min(UNITS - 1, Math.max(0, Math.round(units)));
