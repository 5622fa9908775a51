/** The files of a job that is not made yet. They outlive the tab: going to look at another one loses nothing. */

import { BlobUrls } from "../../core/files.js";
import { isAbort } from "../../core/problem.js";
import { sorted } from "./dropped.js";

const PREVIEWED = 6;
const LARGEST_PREVIEW_BYTES = 8 << 20; // a browser decodes it whole to show a thumbnail
const DRAWABLE = /\.(png|jpe?g|jpe|webp|gif|bmp)$/i;

export class Draft {
  #urls = new BlobUrls();
  #turn = Promise.resolve();
  #waiting = 0;
  images = [];
  zips = [];
  leftOut = [];
  clutter = 0;
  bytes = 0;
  reading = null; // what ends it

  get empty() {
    return this.images.length + this.zips.length === 0;
  }

  get count() {
    return this.images.length + this.zips.length;
  }

  /** The folder that everything was dropped in, or nothing. */
  get folder() {
    const paths = [...this.images, ...this.zips].map(({ path }) => path);
    const folder = paths[0]?.includes("/") ? paths[0].split("/")[0] : "";
    return folder && paths.every((path) => path.startsWith(`${folder}/`)) ? folder : "";
  }

  /**
   * Takes files, one after the other; what was there stays.
   *
   * @param {(signal: AbortSignal) => AsyncGenerator<import("./dropped.js").Found>} files
   * @param {number} largest bytes of an image
   * @param {() => void} changed told now and then
   */
  async take(files, largest, changed) {
    this.reading ??= new AbortController();
    const { reading } = this;
    this.#waiting++;
    const turn = this.#turn.then(() => this.#read(files(reading.signal), reading.signal, largest, changed));
    this.#turn = turn.catch(() => {});
    try {
      await turn;
    } catch (error) {
      if (!isAbort(error)) throw error;
    } finally {
      this.#waiting--;
      if (this.#waiting === 0 && this.reading === reading) this.reading = null;
      changed();
    }
  }

  async #read(files, signal, largest, changed) {
    const known = new Set([...this.images, ...this.zips].map(keyOf));
    for await (const found of files) {
      signal.throwIfAborted();
      if (known.has(keyOf(found))) continue; // the same folder was dropped twice
      this.#put(found, sorted(found, largest));
      changed();
    }
  }

  /** URLs of the first few images. */
  previews() {
    const few = this.images
      .filter(({ file, path }) => DRAWABLE.test(path) && file.size <= LARGEST_PREVIEW_BYTES)
      .slice(0, PREVIEWED);
    return few.map(({ file }) => this.#urls.of(file));
  }

  clear() {
    this.reading?.abort();
    this.#urls.clear();
    Object.assign(this, { images: [], zips: [], leftOut: [], clutter: 0, bytes: 0, reading: null });
  }

  /** The body of the request. */
  form(request) {
    const form = new FormData();
    form.append("job", JSON.stringify(request)); // first, so that it is refused before files are sent
    for (const { file, path } of this.images) form.append("files", file, path);
    for (const { file, path } of this.zips) form.append("zip", file, path);
    return form;
  }

  #put(found, { as, why }) {
    if (as === "clutter") this.clutter++;
    else if (as === "out") this.leftOut.push({ path: found.path, why });
    else {
      (as === "zip" ? this.zips : this.images).push(found);
      this.bytes += found.file.size;
    }
  }
}

const keyOf = ({ file, path }) => `${path}|${file.size}|${file.lastModified}`;

const drafts = new WeakMap();

/** The one of a studio. */
export function draftOf(studio) {
  if (!drafts.has(studio)) drafts.set(studio, new Draft());
  return drafts.get(studio);
}
