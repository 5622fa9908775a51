/** The picture before and after, beside each other or in one place. */

import { classMap, html, nothing } from "../../core/lit.js";

/**
 * @param {object} options
 * @param {string|null} options.before URL of the picture without edits; null while it is not there
 * @param {string|null} options.after likewise with them
 * @param {string} options.words what they show
 * @param {boolean} options.edited whether they differ
 * @param {boolean} options.beside whether they stand beside each other
 * @param {boolean} options.held whether the one place shows how it was before
 * @param {boolean} options.busy whether the newest is still being made
 * @param {(how: "pointer"|"key") => void} options.hold
 */
export function compare({ before, after, words, edited, beside, held, busy, hold }) {
  const shown = (name, url, alt) => html`<figure class=${classMap({ shot: true, busy })} data-shot=${name}>
    <div class="frame">${url ? html`<img class="pixels" src=${url} alt=${alt} draggable="false">` : nothing}</div>
    <figcaption>${name === "before" ? "Before" : edited ? "After" : "Not edited"}</figcaption>
  </figure>`;
  if (beside) {
    return html`<div class="shots beside">
      ${shown("before", before, `Before: ${words}`)} ${shown("after", after, `After: ${words}`)}
    </div>`;
  }
  const past = held && edited;
  return html`<div class=${classMap({ shots: true, holds: edited })} @contextmenu=${held ? prevent : nothing}
      @pointerdown=${(event) => edited && event.button === 0 && hold("pointer")}>
    ${past ? shown("before", before, `Before: ${words}`) : shown("after", after, edited ? `After: ${words}` : words)}
  </div>`;
}

/** The button that shows how it was for as long as it is held, by pointer or by key. */
export function holdButton({ edited, held, hold, release }) {
  const pressed = (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (!event.repeat) hold("key");
  };
  return html`<button type="button" id="hold" ?disabled=${!edited} aria-pressed=${String(held && edited)}
    @pointerdown=${(event) => event.button === 0 && hold("pointer")} @contextmenu=${prevent}
    @keydown=${pressed} @keyup=${() => release("key")} @blur=${() => release("key")}
    title="Or press and hold the picture">Hold for before</button>`;
}

const prevent = (event) => event.preventDefault();
