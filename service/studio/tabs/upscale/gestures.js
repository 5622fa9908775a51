/** What mouse, fingers and keys do to a comparison. */

const WHEEL_STEP = 240; // of a wheel, to double

export class Gestures {
  #pointers = new Map();
  #divides = false;

  /**
   * @param {HTMLElement} area the stage
   * @param {HTMLElement} handle the divider
   * @param {import("./comparison.js").Comparison} comparison
   */
  constructor(area, handle, comparison) {
    this.area = area;
    this.handle = handle;
    this.comparison = comparison;
    area.addEventListener("pointerdown", (event) => this.#down(event));
    area.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) area.addEventListener(name, (event) => this.#up(event));
    area.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    area.addEventListener("dblclick", () => comparison.zoomTo(comparison.view.zoom === "fit" ? 1 : "fit"));
    area.addEventListener("keydown", (event) => this.#key(event));
  }

  #down(event) {
    if (event.button !== 0) return;
    this.area.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, this.#point(event));
    // What fits has nowhere to go: then it is the divider that follows.
    this.#divides = this.handle.contains(event.target) || (!this.comparison.overflows && this.comparison.both);
    if (this.#divides && this.#pointers.size === 1) this.comparison.divideBelow(this.#point(event).x);
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = this.#point(event);
    const [other] = [...this.#pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
    this.#pointers.set(event.pointerId, now);
    if (other) {
      const middle = { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 };
      const was = Math.hypot(before.x - other.x, before.y - other.y);
      const is = Math.hypot(now.x - other.x, now.y - other.y);
      if (was > 0 && is > 0) this.comparison.zoomBy(is / was, middle);
      this.comparison.moveBy((now.x - before.x) / 2, (now.y - before.y) / 2);
    } else if (this.#divides) this.comparison.divideBelow(now.x);
    else this.comparison.moveBy(now.x - before.x, now.y - before.y);
  }

  #up(event) {
    this.#pointers.delete(event.pointerId);
  }

  /** With Ctrl, as browsers report pinching on a touch pad; without, the page scrolls. */
  #wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.comparison.zoomBy(2 ** (-event.deltaY / WHEEL_STEP), this.#point(event));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const divides = event.target === this.handle;
    const known = divides && this.comparison.pressDivider(event.key, event.shiftKey);
    if (known || this.comparison.press(event.key, event.shiftKey)) event.preventDefault();
  }

  /** In pixels of the screen. */
  #point(event) {
    const { left, top, width } = this.comparison.canvas.getBoundingClientRect();
    const ratio = this.comparison.canvas.width / width;
    return { x: (event.clientX - left) * ratio, y: (event.clientY - top) * ratio };
  }
}
