/** A drawing as what was done, so that anything can be undone, and kept in little space. */

const PLACE = "ganserve.drawing.";
const MOST_KEPT = 2_000_000; // characters; storage has room for some five million

/**
 * One thing that was done. Coordinates and sizes are whole numbers, of which `UNITS` make the side of the paper.
 *
 * @typedef {object} Deed
 * @property {"stroke"|"line"|"oval"|"fill"|"picture"|"clear"} kind
 * @property {string} [colour] `#rrggbb`
 * @property {number} [size] width of the pen
 * @property {number[]} [points] x, y, x, y, …; of a line its ends, of an oval two corners of its box
 * @property {number[]} [widths] of a pen that is pressed: for each point, a share of `size`
 * @property {boolean} [mirrored] done on the other half too
 * @property {string} [file] a picture, as base64 of its file
 */

export const UNITS = 1024;

export class Drawing {
  /** @type {Deed[]} */
  done = [];
  #undone = [];
  #place;

  /** @param {string} id under which it is kept until the browser's tab is closed */
  constructor(id) {
    this.#place = PLACE + id;
    this.done = kept(this.#place);
  }

  /** Whether there is anything on the paper. */
  get blank() {
    return this.done.length === 0 || this.done.at(-1).kind === "clear";
  }

  /** What was done since the paper was last empty. */
  get visible() {
    return this.done.slice(this.done.findLastIndex(({ kind }) => kind === "clear") + 1);
  }

  get undoable() {
    return this.done.length > 0;
  }

  get redoable() {
    return this.#undone.length > 0;
  }

  /** @param {...Deed} deeds that are undone one by one */
  add(...deeds) {
    this.done.push(...deeds);
    this.#undone = [];
    this.#keep();
  }

  /** Puts other deeds in place of all; that can be undone too. */
  become(deeds) {
    this.add({ kind: "clear" }, ...deeds);
  }

  clear() {
    if (!this.blank) this.add({ kind: "clear" });
  }

  undo() {
    if (!this.undoable) return;
    this.#undone.push(this.done.pop());
    this.#keep();
  }

  redo() {
    if (!this.redoable) return;
    this.done.push(this.#undone.pop());
    this.#keep();
  }

  #keep() {
    let text = JSON.stringify(this.done);
    // What is below the last clearing can be undone until the page is left, and is not worth keeping then.
    if (text.length > MOST_KEPT) text = JSON.stringify(this.visible);
    try {
      sessionStorage.setItem(this.#place, text);
    } catch {
      // Storage is full or forbidden: the drawing lasts until the page is left.
    }
  }
}

function kept(place) {
  try {
    const deeds = JSON.parse(sessionStorage.getItem(place) ?? "[]");
    return Array.isArray(deeds) && deeds.every((deed) => typeof deed?.kind === "string") ? deeds : [];
  } catch {
    return [];
  }
}
