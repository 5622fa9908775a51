/** A mixture, large, with what can be done with it. */

import { html } from "../../core/lit.js";
import { download } from "../../core/files.js";
import { textOf } from "../../core/recipe-text.js";
import { hashOf } from "../../core/view.js";
import { closePicture, openPicture } from "../../components/picture.js";
import { bodyOf } from "./setting.js";
import { nameOf } from "./sources.js";

export class Large {
  #open = null; // [row, column]

  /**
   * @param {import("../../core/tab.js").Tab} tab
   * @param {import("./cells.js").Cells} cells
   * @param {import("./keeping.js").Keeping} keeping
   */
  constructor(tab, cells, keeping) {
    Object.assign(this, { tab, cells, keeping });
    tab.signal.addEventListener("abort", () => this.#open && closePicture());
  }

  show(setting, row, column) {
    this.#open = [row, column];
    this.draw(setting);
  }

  /** Draws it anew, as when it was kept. */
  draw(setting) {
    if (this.#open === null) return;
    const [row, column] = this.#open;
    const { blob, stale } = this.cells.shown(setting, row, column);
    if (!blob || stale) return;
    const all = setting.rows.flatMap((one) => setting.columns.map((other) => [one, other]));
    const at = all.findIndex(([one, other]) => one === row && other === column);
    const turn = (to) => {
      const there = all[to] && !this.cells.shown(setting, ...all[to]).stale;
      return there ? () => this.show(setting, ...all[to]) : undefined;
    };
    openPicture({
      blob,
      title: `${setting.card.name}: ${nameOf(row)} × ${nameOf(column)}`,
      name: fileName(setting, row, column),
      actions: this.#actions(setting, row, column),
      previous: turn(at - 1),
      next: turn(at + 1),
      closed: () => (this.#open = null),
    });
  }

  #actions(setting, row, column) {
    const state = this.keeping.state(setting, row, column);
    const keep = () => this.keeping.toggle(setting, row, column);
    const save = () => this.tab.attempt(() => this.#download(setting, row, column));
    const edit = () => this.tab.attempt(() => this.#edit(setting, row, column));
    return html`<button type="button" class="primary" @click=${save}>Download</button>
      <button type="button" aria-pressed=${String(state === "yes")} ?disabled=${state === "soon"} @click=${keep}>
        ${state === "yes" ? "★ Kept" : "☆ Keep"}</button>
      ${setting.card.directions?.length ? html`<button type="button" @click=${edit}>Edit</button>` : ""}`;
  }

  async #download(setting, row, column) {
    const json = { ...bodyOf(setting, { rows: [row], columns: [column] }), headers: false };
    const { signal } = this.tab;
    const { blob } = await this.tab.studio.api.blob("v1/style-mix", { json, accept: "image/png", signal });
    download(blob, fileName(setting, row, column));
  }

  async #edit(setting, row, column) {
    const { ws, model } = await this.keeping.favourite(setting, row, column);
    closePicture();
    location.hash = hashOf("edit", new URLSearchParams({ model, from: textOf({ ws }) }));
  }
}

function fileName({ card }, row, column) {
  const name = (source) => nameOf(source).replace(/[^\w-]+/g, "-").replace(/^-|-$/g, "");
  return `${card.name}-${name(row)}-x-${name(column)}.png`;
}
