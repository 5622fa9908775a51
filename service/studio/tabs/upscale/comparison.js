/** Before and after on one stage, with a divider between them; down to single pixels. */

import { html, live, nothing, render } from "../../core/lit.js";
import { MOST_ZOOM, boxOf, moved, scaleOf, seen, zoomed } from "./geometry.js";
import { Gestures } from "./gestures.js";
import { paint } from "./pictures.js";

const ZOOMS = [1, 2, 4, 8];
const STEP = 0.02;
const MOVE_PIXELS = 64;

/** Events: `view` when what is seen has changed. */
export class Comparison extends EventTarget {
  /** What is seen: `divider` is a fraction of what is seen of the picture, `smooth` is about the enlarged "before". */
  view = { zoom: "fit", x: 0.5, y: 0.5, divider: 0.5, smooth: true };
  #before = null;
  #after = null;
  #size = { width: 1, height: 1 };
  #stage = { width: 1, height: 1 };
  #drawing = false;

  constructor() {
    super();
    this.element = document.createElement("div");
    this.element.className = "comparison";
    this.#render();
    this.area = this.element.querySelector(".area");
    this.canvas = this.element.querySelector("canvas");
    this.handle = this.element.querySelector(".divider");
    new Gestures(this.area, this.handle, this);
    this.observer = new ResizeObserver((entries) => this.#resized(entries[0]));
    this.observer.observe(this.canvas);
  }

  /**
   * Shows pictures; their owner closes them.
   *
   * @param {import("./pictures.js").Picture|null} before
   * @param {import("./pictures.js").Picture|null} after
   * @param {{width: number, height: number}} size in which both are seen: that of the enlarged picture
   */
  show(before, after, size) {
    this.#before = before;
    this.#after = after;
    this.#size = size;
    this.#render();
    this.draw();
  }

  /** Changes what is seen. */
  look(view) {
    this.view = { ...this.view, ...view };
    this.#render();
    this.draw();
    this.dispatchEvent(new Event("view"));
  }

  /** Zooms; without a point about the middle. */
  zoomTo(zoom, point) {
    const least = Math.min(1, scaleOf("fit", this.#size, this.#stage));
    const wanted = zoom === "fit" ? zoom : Math.min(MOST_ZOOM, Math.max(least, zoom));
    this.look(point ? zoomed(this.#size, this.#stage, this.view, wanted, point) : { zoom: wanted });
  }

  zoomBy(factor, point) {
    this.zoomTo(this.scale * factor, point);
  }

  moveBy(dx, dy) {
    this.look(moved(this.#size, this.#stage, this.view, dx, dy));
  }

  divideAt(divider) {
    this.look({ divider: Math.min(1, Math.max(0, divider)) });
  }

  /** Puts the divider below a point of the stage. */
  divideBelow(x) {
    const part = this.#seen();
    this.divideAt((x - part.x) / Math.max(1, part.width));
  }

  get scale() {
    return scaleOf(this.view.zoom, this.#size, this.#stage);
  }

  /** Whether there is more of it than the stage shows. */
  get overflows() {
    const box = boxOf(this.#size, this.#stage, this.view);
    return box.width > this.#stage.width || box.height > this.#stage.height;
  }

  get both() {
    return this.#before !== null && this.#after !== null;
  }

  /** Keys of the stage; says whether it was one of them. */
  press(key, far) {
    const step = far ? 4 * MOVE_PIXELS : MOVE_PIXELS;
    const acts = {
      "+": () => this.zoomBy(2),
      "=": () => this.zoomBy(2),
      "-": () => this.zoomBy(0.5),
      0: () => this.zoomTo("fit"),
      ArrowLeft: () => this.moveBy(step, 0),
      ArrowRight: () => this.moveBy(-step, 0),
      ArrowUp: () => this.moveBy(0, step),
      ArrowDown: () => this.moveBy(0, -step),
    };
    for (const zoom of ZOOMS) acts[zoom] = () => this.zoomTo(zoom);
    acts[key]?.();
    return key in acts;
  }

  /** Keys of the divider; says whether it was one of them. */
  pressDivider(key, far) {
    const step = far ? 5 * STEP : STEP;
    const { divider } = this.view;
    const to = {
      ArrowLeft: divider - step,
      ArrowDown: divider - step,
      ArrowRight: divider + step,
      ArrowUp: divider + step,
      PageDown: divider - 5 * STEP,
      PageUp: divider + 5 * STEP,
      Home: 0,
      End: 1,
    }[key];
    if (to !== undefined) this.divideAt(to);
    return to !== undefined;
  }

  draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#draw();
    });
  }

  close() {
    this.observer.disconnect();
    this.#before = this.#after = null;
  }

  #seen() {
    return seen(boxOf(this.#size, this.#stage, this.view), this.#stage);
  }

  #draw() {
    const area = this.canvas.getContext("2d");
    area.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const box = boxOf(this.#size, this.#stage, this.view);
    const part = seen(box, this.#stage);
    const at = this.both ? Math.round(part.width * this.view.divider) : this.#after ? 0 : part.width;
    const left = { ...part, width: at };
    const right = { ...part, x: part.x + at, width: part.width - at };
    if (this.#before) paint(area, this.#before, box, left, this.view.smooth);
    if (this.#after) paint(area, this.#after, box, right, false);
    const ratio = this.canvas.clientWidth / this.canvas.width || 1;
    this.area.style.setProperty("--divider", `${(part.x + at) * ratio}px`);
    this.area.classList.toggle("overflows", this.overflows);
    this.element.querySelector("output").textContent = `${Math.round(box.scale * 100)} %`;
  }

  #resized(entry) {
    const exact = entry.devicePixelContentBoxSize?.[0];
    const { width, height } = entry.contentRect;
    this.canvas.width = this.#stage.width = exact?.inlineSize ?? Math.round(width * devicePixelRatio);
    this.canvas.height = this.#stage.height = exact?.blockSize ?? Math.round(height * devicePixelRatio);
    this.#draw(); // at once: a resized canvas is empty
  }

  #render() {
    const { zoom, divider, smooth } = this.view;
    const percent = Math.round(divider * 100);
    const zoomButton = (value, text, label) => html`<button type="button" class="quiet"
      aria-pressed=${zoom === value} aria-label=${label} @click=${() => this.zoomTo(value)}>${text}</button>`;
    render(
      html`<div class="area" tabindex="0" role="group"
          aria-label="The picture: arrow keys move it, plus and minus zoom, 0 shows all of it">
          <canvas role="img" aria-label=${this.#description()}></canvas>
          <div class="divider" role="slider" tabindex="0" ?hidden=${!this.both} aria-label="Divider: before and after"
            aria-valuemin="0" aria-valuemax="100" aria-valuenow=${percent} aria-valuetext=${`${percent} % before`}>
            <span aria-hidden="true">⇔</span>
          </div>
          <span class="tag before" ?hidden=${this.#before === null} aria-hidden="true">Before</span>
          <span class="tag after" ?hidden=${this.#after === null} aria-hidden="true">After</span>
        </div>
        <div class="looks">
          <div class="row" role="group" aria-label="Zoom">
            <button type="button" class="quiet" aria-label="Zoom out" @click=${() => this.zoomBy(0.5)}>−</button>
            <button type="button" class="quiet" aria-label="Zoom in" @click=${() => this.zoomBy(2)}>+</button>
            ${zoomButton("fit", "Fit", "Show all of it")}
            ${ZOOMS.map((value) => zoomButton(value, `${value}×`, `${value}×: each pixel is ${value} of the screen`))}
            <output aria-label="Zoom now"></output>
          </div>
          <label class="row"><span class="label">Enlarge “before”</span>
            <select id="smooth" .value=${live(smooth ? "smooth" : "pixels")}
              @change=${(event) => this.look({ smooth: event.target.value === "smooth" })}>
              <option value="smooth">smoothly</option>
              <option value="pixels">as pixels</option>
            </select>
          </label>
        </div>`,
      this.element,
    );
  }

  #description() {
    const { width, height } = this.#size;
    if (this.both) return `The picture before and after, side by side at ${width} × ${height} pixels`;
    return this.#after ? `The enlarged picture, ${width} × ${height} pixels` : "The picture before";
  }
}
