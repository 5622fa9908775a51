/** One picture, large, in a dialog. */

import { classMap, html, nothing, render } from "../core/lit.js";
import { BlobUrls, download } from "../core/files.js";

const urls = new BlobUrls();
let shown = null;

/**
 * Opens it; Escape, the button and a click beside it close it. While it is open, another call shows another picture
 * in its place.
 *
 * @param {object} options
 * @param {Blob} options.blob
 * @param {string} options.title what it shows, for who does not see it
 * @param {string} options.name of the file when it is saved
 * @param {unknown} [options.more] a template beside it, or below on a phone
 * @param {unknown} [options.actions] a template in place of the button that saves the blob
 * @param {() => void} [options.previous] shows the one before, by a button and the arrow keys
 * @param {() => void} [options.next]
 * @param {() => void} [options.closed] told once it is closed
 */
export function openPicture(options) {
  const dialog = document.getElementById("picture-dialog");
  if (shown && shown.blob !== options.blob) urls.drop(shown.blob);
  shown = options;
  render(template(options, dialog), dialog);
  dialog.onclick = (event) => {
    if (event.target === dialog) dialog.close(); // in braces: to return false is to prevent what a click does
  };
  dialog.onkeydown = (event) => turn(event, options);
  dialog.onclose = () => {
    const { closed } = shown;
    shown = null;
    urls.clear();
    render(nothing, dialog);
    closed?.();
  };
  if (!dialog.open) dialog.showModal();
}

/** Closes it, if it is open. */
export function closePicture() {
  document.getElementById("picture-dialog").close();
}

function template({ blob, title, name, more, actions, previous, next }, dialog) {
  const aside = (text, glyph, go) =>
    html`<button type="button" class="quiet turn" aria-label=${text} title=${text} ?disabled=${!go} @click=${go}>${glyph}</button>`;
  return html`<figure class=${classMap({ large: true, wide: more !== undefined })}>
    <div class="frame">
      ${previous || next ? aside("Previous picture", "‹", previous) : nothing}
      <img class="pixels" src=${urls.of(blob)} alt=${title}>
      ${previous || next ? aside("Next picture", "›", next) : nothing}
    </div>
    <div class="aside">
      <figcaption>${title}</figcaption>
      <p class="row">
        ${actions ?? html`<button type="button" class="primary" @click=${() => download(blob, name)}>Download</button>`}
        <button type="button" @click=${() => dialog.close()}>Close</button>
      </p>
      ${more ?? nothing}
    </div>
  </figure>`;
}

function turn(event, { previous, next }) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, pre")) return;
  const go = { ArrowLeft: previous, ArrowRight: next }[event.key];
  if (!go) return;
  event.preventDefault();
  go();
}
