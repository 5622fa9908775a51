/** The frames of an animation: all of them as files, and those around the one that is looked at as pixels. */

/** Pixels that are kept decoded; what is beyond is decoded again when it is near. */
const MOST_PIXELS = 32 << 20;
const AHEAD = 12;

export class Frames {
  #blobs = [];
  #bitmaps = new Map(); // index -> ImageBitmap, or a promise of one
  #turn = 0;

  /** @param {() => void} changed told when a frame can be drawn */
  constructor(changed) {
    this.changed = changed;
  }

  /** How many are there; they come in order. */
  get count() {
    return this.#blobs.length;
  }

  add(blob) {
    this.#blobs.push(blob);
    this.changed();
  }

  /** The file of one. */
  blob(index) {
    return this.#blobs[index];
  }

  /**
   * The pixels of one, if they are at hand; if not they will be soon, and `changed` says so.
   *
   * @param {number} index
   * @param {boolean} loop whether the first ones come after the last
   * @returns {ImageBitmap|null}
   */
  bitmap(index, loop = false) {
    const near = Array.from({ length: AHEAD }, (_, step) => index + step);
    for (const one of near) this.#decode(loop ? one % this.count : one);
    this.#forgetBeyond(index);
    const found = this.#bitmaps.get(index);
    return found instanceof Promise ? null : (found ?? null);
  }

  /** Gives everything back. */
  clear() {
    this.#turn++;
    for (const bitmap of this.#bitmaps.values()) close(bitmap);
    this.#bitmaps.clear();
    this.#blobs = [];
  }

  #decode(index) {
    const blob = this.#blobs[index];
    if (!blob || this.#bitmaps.has(index)) return;
    const turn = this.#turn;
    // As they are in the file: a conversion for the screen would not be the API's pixels any more.
    const coming = createImageBitmap(blob, { colorSpaceConversion: "none" }).then((bitmap) => {
      if (turn !== this.#turn || this.#bitmaps.get(index) !== coming) return bitmap.close();
      this.#bitmaps.set(index, bitmap);
      this.changed();
    });
    this.#bitmaps.set(index, coming);
  }

  #forgetBeyond(index) {
    const kept = [...this.#bitmaps].filter(([, bitmap]) => !(bitmap instanceof Promise));
    const most = Math.max(2 * AHEAD, Math.floor(MOST_PIXELS / (kept[0] ? kept[0][1].width * kept[0][1].height : 1)));
    if (kept.length <= most) return;
    const ahead = (one) => (one - index + this.count) % this.count;
    kept.sort(([one], [other]) => ahead(one) - ahead(other));
    for (const [one, bitmap] of kept.slice(most)) {
      close(bitmap);
      this.#bitmaps.delete(one);
    }
  }
}

function close(bitmap) {
  if (!(bitmap instanceof Promise)) bitmap.close();
}
