/** The pictures of the grid: a row at a time, only those that are missing, never for a setting that has passed. */

import { fromBase64 } from "../../core/files.js";
import { Latest } from "../../core/latest.js";
import { bodyOf, crossingKey, headerOf } from "./setting.js";
import { sourceText } from "./sources.js";

const QUIET_SECONDS = 1;
const MOST_KEPT = 600;
const AT_A_TIME = 12; // pictures of one call
export const LOSSLESS = 256; // pixels of a side; larger ones are shown as smaller files

export class Cells {
  #kept = new Map(); // digest and crossing -> Blob
  #latest = new Map(); // place in the grid -> Blob, to be shown until the newer one is there
  #telling = 0;
  #trouble = null; // of pictures, which those that arrive end

  /**
   * @param {import("../../core/tab.js").Tab} tab
   */
  constructor(tab) {
    this.tab = tab;
    this.work = new Latest((setting, signal) => this.#fill(setting, signal), (error) => this.#failed(error));
    tab.signal.addEventListener("abort", () => {
      clearTimeout(this.#telling);
      this.work.stop();
    });
  }

  /** Whether pictures are being made. */
  get busy() {
    return this.work.busy;
  }

  /** Fills the grid; `moving` is true while a slider moves, when what runs may end first. */
  want(setting, moving) {
    this.work.want(setting, !moving);
  }

  /** What to show of a crossing: `{blob, stale}`; stale if it is that of an earlier setting. */
  shown(setting, row, column) {
    const blob = this.#kept.get(keyOf(setting, row, column));
    return blob ? { blob, stale: false } : { blob: this.#latest.get(placeOf(setting, row, column)), stale: true };
  }

  /** What to show of a row or a column by itself; undefined while there is nothing. */
  header(setting, axis, source) {
    const known = this.tab.studio.pictures.known(headerOf(setting, axis, source), optionsOf(setting));
    return known?.blob ?? this.#latest.get(placeOf(setting, axis, source));
  }

  /** How many of the grid are there. */
  count(setting) {
    const { rows, columns } = setting;
    return rows.flatMap((row) => columns.filter((column) => this.#kept.has(keyOf(setting, row, column)))).length;
  }

  async #fill(setting, signal) {
    clearTimeout(this.#telling);
    await this.#makeHeaders(setting, signal);
    for (const row of setting.rows) {
      const missing = setting.columns.filter((column) => !this.#kept.has(keyOf(setting, row, column)));
      for (let first = 0; first < missing.length && setting.layers.length; first += AT_A_TIME) {
        if (this.work.outdated) return;
        await this.#make(setting, row, missing.slice(first, first + AT_A_TIME), signal);
        this.tab.update();
      }
    }
    if (this.tab.problem === this.#trouble) this.tab.clearProblem();
    this.#telling = setTimeout(() => this.#tell(setting), 1000 * QUIET_SECONDS);
    queueMicrotask(() => this.tab.update()); // once this is over
  }

  #tell(setting) {
    this.tab.studio.announce(`The grid is complete: ${this.count(setting)} pictures`);
  }

  #failed(error) {
    this.tab.fail(error);
    this.#trouble = this.tab.problem;
    const { models } = this.tab.studio;
    if (error.slug === "digest-mismatch") this.tab.attempt(() => models.load(this.tab.signal));
  }

  async #makeHeaders(setting, signal) {
    const sources = ["rows", "columns"].flatMap((axis) => setting[axis].map((source) => [axis, source]));
    await Promise.all(
      sources.map(async ([axis, source]) => {
        const options = { ...optionsOf(setting), signal };
        const { blob } = await this.tab.studio.pictures.of(headerOf(setting, axis, source), options);
        this.#keep(this.#latest, placeOf(setting, axis, source), blob);
        this.tab.update();
      }),
    );
  }

  async #make(setting, row, columns, signal) {
    const small = setting.card.resolution <= LOSSLESS;
    const files = small ? {} : { format: "webp", quality: 90 };
    const json = { ...bodyOf(setting, { rows: [row], columns }), ...files };
    const { data } = await this.tab.studio.api.json("v1/style-mix", { json, signal });
    data.forEach(({ b64_json, media_type }, at) => {
      const blob = fromBase64(b64_json, media_type);
      this.#keep(this.#kept, keyOf(setting, row, columns[at]), blob);
      this.#keep(this.#latest, placeOf(setting, row, columns[at]), blob);
    });
  }

  #keep(map, key, blob) {
    map.delete(key);
    map.set(key, blob);
    if (map.size > MOST_KEPT) map.delete(map.keys().next().value);
  }
}

const keyOf = (setting, row, column) => `${setting.card.digest} ${crossingKey(setting, row, column)}`;

/** Of a crossing, or of the source of an axis. */
const placeOf = ({ card }, one, other) =>
  [card.digest, ...[one, other].map((part) => (typeof part === "string" ? part : sourceText(part)))].join(" ");

const optionsOf = ({ card }) => ({ digest: card.digest, lossless: card.resolution <= LOSSLESS });
