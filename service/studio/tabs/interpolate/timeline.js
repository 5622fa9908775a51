/** The keyframes in their order: pictures that can be dragged, and buttons that do the same. */

import { droppedFavourite, isFavourite } from "../../components/favourites-strip.js";
import { classMap, html, nothing, repeat } from "../../core/lit.js";
import { describe, fieldsOf } from "../../core/generator.js";
import { number } from "../../core/text.js";
import { frameOf } from "./path.js";

const DRAGGED = "application/x-ganserve-keyframe";

/**
 * @param {object} options
 * @param {import("./path.js").Path} options.path
 * @param {import("./thumbnails.js").Thumbnails} options.thumbnails
 * @param {number|null} options.chosen id of the keyframe whose settings are shown
 * @param {object} options.on `move(id, place)`, `remove(id)`, `choose(id)`, `add(recipe, place)`; `place` counts the
 *   keyframes before it
 */
export function timeline({ path, thumbnails, chosen, on }) {
  const { keyframes } = path;
  const drop = (event) => dropped(event, path, on);
  const item = (keyframe, index) =>
    one({ keyframe, index, path, shown: thumbnails.of(keyframe.id), chosen: keyframe.id === chosen, on });
  return html`<ol class="timeline" aria-label="Keyframes" @dragover=${over} @dragleave=${left} @drop=${drop}>
    ${repeat(keyframes, ({ id }) => id, item)}
    ${keyframes.length ? nothing : html`<li class="hint">Drag favourites here, or type seeds below.</li>`}
  </ol>`;
}

function one({ keyframe, index, path, shown, chosen, on }) {
  const { id } = keyframe;
  const name = wordsOf(keyframe);
  const count = path.keyframes.length;
  const dragged = (event) => {
    event.dataTransfer.setData(DRAGGED, String(id));
    event.dataTransfer.effectAllowed = "move";
  };
  const move = (step) => on.move(id, index + step, step < 0 ? "left" : "right");
  return html`<li class=${classMap({ keyframe: true, chosen, waiting: !shown.url && !shown.problem })} data-id=${id}>
    <button type="button" class="open" draggable="true" @dragstart=${dragged} @click=${() => on.choose(id)}
      aria-pressed=${String(chosen)} aria-label=${`Keyframe ${index + 1}, ${name}: settings`} title=${name}>
      ${shown.url ? html`<img class="pixels" src=${shown.url} alt="" draggable="false">` : nothing}
      ${shown.problem ? html`<span class="why" title=${shown.problem.message}>cannot be drawn</span>` : nothing}
    </button>
    <p class="caption"><span>${titleOf(keyframe)}</span> <small>${own(keyframe)}</small></p>
    <p class="place"><small>${(frameOf(path, index) / path.fps).toFixed(1)} s</small></p>
    <p class="moves">
      <button type="button" class="quiet left" aria-label=${`Move keyframe ${index + 1} left`} title="Move left"
        ?disabled=${index === 0} @click=${() => move(-1)}>‹</button>
      <button type="button" class="quiet remove" aria-label=${`Remove keyframe ${index + 1}`} title="Remove"
        @click=${() => on.remove(id)}>×</button>
      <button type="button" class="quiet right" aria-label=${`Move keyframe ${index + 1} right`} title="Move right"
        ?disabled=${index === count - 1} @click=${() => move(1)}>›</button>
    </p>
  </li>`;
}

/** What a keyframe is called where there is little room. */
export const titleOf = ({ recipe, title }) => title ?? (recipe.ws ? "mixture" : String(recipe.seed));

/** What a keyframe is, in words. */
export function wordsOf({ recipe, title }) {
  return describe({ ...recipe, title }).split(", ").slice(1).join(", ");
}

function own({ recipe }) {
  const { truncation, label, edits, rotation, translation } = fieldsOf(recipe);
  const parts = [label ?? "", truncation === undefined ? "" : `ψ ${number(truncation)}`];
  if (edits) parts.push("edited");
  if (rotation || translation) parts.push("moved");
  return parts.filter(Boolean).join(" · ");
}

function over(event) {
  const types = event.dataTransfer?.types ?? [];
  if (!isFavourite(event) && !types.includes(DRAGGED)) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = types.includes(DRAGGED) ? "move" : "copy";
  mark(event.currentTarget, placeAt(event));
}

function left(event) {
  if (!event.currentTarget.contains(event.relatedTarget)) mark(event.currentTarget, null);
}

function dropped(event, { keyframes }, on) {
  const place = placeAt(event);
  mark(event.currentTarget, null);
  const favourite = droppedFavourite(event);
  const id = Number(event.dataTransfer.getData(DRAGGED) || NaN);
  if (!favourite && !Number.isFinite(id)) return;
  event.preventDefault();
  if (favourite) {
    on.add(favourite, place);
    return;
  }
  const from = keyframes.findIndex((keyframe) => keyframe.id === id);
  if (from >= 0) on.move(id, place > from ? place - 1 : place);
}

/** How many keyframes lie before the pointer, in rows of them. */
function placeAt({ currentTarget, clientX, clientY }) {
  return [...currentTarget.querySelectorAll(".keyframe")].filter((element) => {
    const { left: start, width, top, bottom } = element.getBoundingClientRect();
    return clientY > bottom || (clientY >= top && clientX > start + width / 2);
  }).length;
}

/** Where it would be dropped; not part of the template, since the pointer moves more often than that is drawn. */
function mark(list, place) {
  const elements = [...list.querySelectorAll(".keyframe")];
  list.classList.toggle("over", place !== null);
  elements.forEach((element, index) => {
    element.classList.toggle("before", place === index);
    element.classList.toggle("after", place === elements.length && index === elements.length - 1);
  });
}
