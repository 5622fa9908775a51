/** The paper: a canvas that is drawn on with mouse, finger, pen or keys. */

import { Drawing, UNITS } from "./drawing.js";
import { blank, paint, readied, reduced } from "./painting.js";
import { Cursor } from "./cursor.js";

const LEAST_SIDE = 384; // pixels; edges are soft when it is reduced to the model's size
const NEAREST = 3; // units between two points of a stroke
const DRAGGED = ["line", "oval"];

/** Events: `paint` when its pixels have changed, `change` when something was done, undone or chosen. */
export class DrawingPad extends EventTarget {
  tool = "pen";
  size = 64;
  colour = "#212121";
  mirrored = false;
  element = document.createElement("div");
  canvas = document.createElement("canvas");
  #area = this.canvas.getContext("2d", { willReadFrequently: true });
  #below = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  #drawing = new Drawing("none");
  #medium = null;
  #side = 64;
  #doing = null; // the deed under way
  #pointer = null;
  #frame = 0;

  /** @param {(text: string) => void} announce */
  constructor(announce) {
    super();
    this.element.className = "pad";
    this.canvas.id = "drawing";
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-roledescription", "drawing canvas");
    this.canvas.setAttribute("aria-label", "Drawing");
    this.canvas.setAttribute("aria-describedby", "drawing-keys");
    this.cursor = new Cursor(this, announce);
    this.element.append(this.canvas, this.cursor.element);
    this.canvas.addEventListener("pointerdown", (event) => this.#down(event));
    this.canvas.addEventListener("pointermove", (event) => this.#moved(event));
    this.canvas.addEventListener("pointerup", (event) => event.pointerId === this.#pointer && this.end());
    this.canvas.addEventListener("pointercancel", (event) => event.pointerId === this.#pointer && this.drop());
  }

  get drawing() {
    return this.#drawing;
  }

  /** Whether nothing is on it, nor about to be. */
  get blank() {
    return this.#drawing.blank && this.#doing === null;
  }

  get doing() {
    return this.#doing !== null;
  }

  /**
   * Lays out the paper for a model.
   *
   * @param {import("./media.js").Medium} medium
   * @param {number} side of the pictures to make, in pixels
   */
  async lay(medium, side) {
    if (this.#medium?.id === medium.id && this.#side === side) return;
    if (this.#medium?.id !== medium.id) {
      this.#drawing = new Drawing(medium.id);
      this.colour = medium.colours[0].value;
      this.size = Math.round(medium.size * UNITS);
      this.tool = "pen";
    }
    this.#medium = medium;
    this.#side = side;
    let pixels = side;
    while (pixels < LEAST_SIDE) pixels *= 2;
    for (const canvas of [this.canvas, this.#below.canvas]) canvas.width = canvas.height = pixels;
    await this.redraw();
  }

  /** Chooses a tool, a size, a colour or symmetry. */
  choose(chosen) {
    Object.assign(this, chosen);
    this.cursor.show();
    this.#changed();
  }

  /** @param {...import("./drawing.js").Deed} deeds */
  async do(...deeds) {
    await readied(deeds);
    this.#drawing.add(...deeds);
    for (const deed of deeds) paint(this.#below, deed, this.#medium.paper);
    this.#show();
    this.#changed();
  }

  /** Puts other deeds in place of all. */
  async become(deeds) {
    await readied(deeds);
    this.#drawing.become(deeds);
    await this.redraw();
  }

  undo() {
    return this.#again("undo");
  }

  redo() {
    return this.#again("redo");
  }

  clear() {
    return this.#again("clear");
  }

  async #again(what) {
    this.drop();
    this.#drawing[what]();
    await this.redraw();
  }

  /** Paints all that was done anew. */
  async redraw() {
    const { visible } = this.#drawing;
    await readied(visible);
    blank(this.#below, this.#medium.paper);
    for (const deed of visible) paint(this.#below, deed, this.#medium.paper);
    this.#show();
    this.#changed();
  }

  /** The picture as it is sent: at the model's size. */
  async png() {
    const small = reduced(this.canvas, this.#side);
    return new Promise((resolve) => small.toBlob(resolve, "image/png"));
  }

  /** Puts the pen down, in units. */
  begin(x, y, pressure) {
    const { tool, mirrored } = this;
    const colour = tool === "eraser" ? this.#medium.paper : this.colour;
    const mirror = mirrored ? { mirrored } : {};
    if (tool === "fill") {
      this.do({ kind: "fill", colour, points: [x, y], ...mirror });
      return;
    }
    const kind = DRAGGED.includes(tool) ? tool : "stroke";
    const points = kind === "stroke" ? [x, y] : [x, y, x, y];
    this.#doing = { kind, colour, size: this.size, points, ...mirror };
    if (pressure !== undefined && kind === "stroke") this.#doing.widths = [widthOf(pressure)];
    this.#soon();
  }

  /** Moves the pen that is down. */
  move(x, y, { pressure, even } = {}) {
    const { kind, points, widths } = this.#doing ?? {};
    if (kind === undefined) return;
    if (kind === "stroke") {
      if (Math.hypot(x - points.at(-2), y - points.at(-1)) < NEAREST) return;
      points.push(x, y);
      widths?.push(widthOf(pressure ?? 0.5));
    } else {
      points.splice(2, 2, ...(even ? evened(kind, points, x, y) : [x, y]));
    }
    this.#soon();
  }

  /** Takes the pen away: it is done. */
  end() {
    const deed = this.#doing;
    if (deed === null) return;
    this.#doing = null;
    this.#pointer = null;
    this.do(deed);
  }

  /** Takes the pen away as though it had never been down. */
  drop() {
    this.#pointer = null;
    if (this.#doing === null) return;
    this.#doing = null;
    this.#soon();
  }

  #down(event) {
    if (!event.isPrimary || ![0, 5].includes(event.button)) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.end(); // what the keys had begun
    this.cursor.follow(event);
    this.canvas.setPointerCapture(event.pointerId);
    this.#pointer = event.pointerId;
    const turned = event.button === 5; // the other end of a pen rubs out
    const tool = this.tool;
    if (turned) this.tool = "eraser";
    const presses = event.pointerType === "pen" && event.pressure > 0;
    this.begin(...this.#unitsOf(event), presses ? event.pressure : undefined);
    this.tool = tool;
  }

  #moved(event) {
    if (event.isPrimary) this.cursor.follow(event);
    if (event.pointerId !== this.#pointer) return;
    const between = event.getCoalescedEvents?.() ?? [];
    for (const one of between.length ? between : [event]) {
      this.move(...this.#unitsOf(one), { pressure: one.pressure, even: event.shiftKey });
    }
  }

  #unitsOf({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return [((clientX - box.left) / box.width) * UNITS, ((clientY - box.top) / box.height) * UNITS].map(Math.round);
  }

  #soon() {
    this.#frame ||= requestAnimationFrame(() => this.#show());
  }

  #show() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#area.drawImage(this.#below.canvas, 0, 0);
    if (this.#doing) paint(this.#area, this.#doing, this.#medium.paper);
    this.dispatchEvent(new Event("paint"));
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

const widthOf = (pressure) => Math.round((0.4 + 1.2 * pressure) * 100) / 100;

/** The other end of a circle, or of a line that is level, upright or diagonal. */
function evened(kind, [fromX, fromY], x, y) {
  const [across, down] = [x - fromX, y - fromY];
  const longest = Math.max(Math.abs(across), Math.abs(down));
  if (kind === "oval") return [fromX + (Math.sign(across) || 1) * longest, fromY + (Math.sign(down) || 1) * longest];
  const turn = (Math.round(Math.atan2(down, across) / (Math.PI / 4)) * Math.PI) / 4;
  const length = Math.hypot(across, down);
  return [fromX + length * Math.cos(turn), fromY + length * Math.sin(turn)].map(Math.round);
}
