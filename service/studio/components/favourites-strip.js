/**
 * The kept pictures of a generator in a row, for the tabs that make something of them.
 *
 *     #strip = new FavouritesStrip(this);                       // in a Tab
 *     this.#strip.template({ card, verb: "Add", select: (favourite) => … })
 *
 * Each is drawn by the API from its recipe. It can be chosen (click, Enter), dragged (read it where it is dropped with
 * `droppedFavourite(event)`), and removed; where the model's weights are others by now, it says so.
 */

import { classMap, html, nothing, repeat } from "../core/lit.js";
import { keyOf } from "../core/favourites.js";
import { BlobUrls } from "../core/files.js";
import { describe } from "../core/generator.js";
import { isAbort } from "../core/problem.js";

const DRAGGED = "application/x-ganserve-favourite";

/** Says whether what is dragged is a favourite, for `dragover`, where its content cannot be read. */
export const isFavourite = (event) => event.dataTransfer?.types.includes(DRAGGED) ?? false;

/** @returns {import("../core/favourites.js").Favourite|null} what was dropped, if that is a favourite */
export function droppedFavourite(event) {
  const text = event.dataTransfer?.getData(DRAGGED);
  return text ? JSON.parse(text) : null;
}

export class FavouritesStrip {
  #drawn = new Map(); // key -> {picture} or {problem}, or {} while it is asked for
  #urls = new BlobUrls();

  /** @param {import("../core/tab.js").Tab} tab whose `signal` ends it and whose `update()` draws it */
  constructor(tab) {
    this.tab = tab;
    tab.on(tab.studio.favourites, "change", () => tab.update());
    tab.on(tab.studio.models, "change", () => tab.update());
    tab.on(tab.studio.connection, "back", () => this.#retry());
    tab.signal.addEventListener("abort", () => this.#urls.clear());
  }

  /**
   * @param {object} options
   * @param {object} options.card of the generator whose favourites are shown
   * @param {(favourite: import("../core/favourites.js").Favourite) => void} options.select
   * @param {string} [options.verb] what choosing one does, as "Add" or "Open"
   * @param {string} [options.empty] what is said when there are none
   * @param {(favourite: object) => boolean} [options.chosen] whether one is marked
   */
  template({ card, select, verb = "Choose", empty = "Pictures that you keep in Generate are shown here.", chosen }) {
    const all = [...this.tab.studio.favourites.of(card.name)].reverse();
    if (!all.length) return html`<p class="strip-empty">${empty}</p>`;
    return html`<ul class="strip" aria-label="Favourites">
      ${repeat(all, keyOf, (favourite) => this.#one(favourite, card, select, verb, chosen))}
    </ul>`;
  }

  #one(favourite, card, select, verb, chosen) {
    const { picture, problem } = this.#picture(favourite, card);
    const words = describe(favourite);
    const changed = favourite.digest !== card.digest;
    const mark = chosen?.(favourite) ?? false;
    const dragged = (event) => {
      event.dataTransfer.setData(DRAGGED, JSON.stringify(favourite));
      event.dataTransfer.effectAllowed = "copy";
    };
    const remove = () => {
      this.tab.studio.favourites.remove(favourite);
      this.tab.studio.announce(`${words} is no longer kept`);
    };
    return html`<li class=${classMap({ kept: true, chosen: mark, waiting: !picture && !problem })}>
      <button type="button" class="open" draggable="true" aria-label=${`${verb} ${words}`} title=${words}
        aria-pressed=${chosen ? String(mark) : nothing} @dragstart=${dragged} @click=${() => select(favourite)}>
        ${picture ? html`<img class="pixels" src=${this.#urls.of(picture.blob)} alt="" draggable="false">` : nothing}
        ${problem ? html`<span class="why" title=${problem.detail || problem.title}>cannot be drawn</span>` : nothing}
        ${changed ? html`<span class="why" title="The model has other weights than when it was kept">changed</span>` : nothing}
      </button>
      <button type="button" class="remove" aria-label=${`Remove ${words}`} title="Remove" @click=${remove}>×</button>
    </li>`;
  }

  #picture(favourite, card) {
    const key = `${card.digest} ${keyOf(favourite)}`;
    if (!this.#drawn.has(key)) {
      this.#drawn.set(key, {});
      this.#draw(key, favourite, card);
    }
    return this.#drawn.get(key);
  }

  async #draw(key, favourite, card) {
    const { signal, studio } = this.tab;
    try {
      this.#drawn.set(key, { picture: await studio.pictures.of(favourite, { signal, digest: card.digest }) });
    } catch (problem) {
      if (isAbort(problem)) return;
      this.#drawn.set(key, { problem });
    }
    this.tab.update();
  }

  #retry() {
    for (const [key, { problem }] of this.#drawn) if (problem) this.#drawn.delete(key);
    this.tab.update();
  }
}
