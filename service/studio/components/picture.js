/** One picture, large, in a dialog. */

import { html, nothing, render } from "../core/lit.js";
import { BlobUrls, download } from "../core/files.js";

/**
 * Opens it; Escape, the button and a click beside it close it.
 *
 * @param {object} options
 * @param {Blob} options.blob
 * @param {string} options.title what it shows, for who does not see it
 * @param {string} options.name of the file when it is saved
 * @param {unknown} [options.more] a template below it
 */
export function openPicture({ blob, title, name, more }) {
  const dialog = document.getElementById("picture-dialog");
  const urls = new BlobUrls();
  render(
    html`<figure class="large">
      <img class="pixels" src=${urls.of(blob)} alt=${title}>
      <figcaption>${title}</figcaption>
      ${more ?? nothing}
      <p class="row">
        <button type="button" class="primary" @click=${() => download(blob, name)}>Download</button>
        <button type="button" @click=${() => dialog.close()}>Close</button>
      </p>
    </figure>`,
    dialog,
  );
  dialog.onclick = (event) => event.target === dialog && dialog.close();
  dialog.onclose = () => {
    urls.clear();
    render(nothing, dialog);
  };
  dialog.showModal();
}
