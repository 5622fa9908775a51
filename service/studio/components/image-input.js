/** How an image gets into the page: dropped, pasted, chosen, or taken with a camera. */

import { html, nothing } from "../core/lit.js";
import { imagesOf } from "../core/files.js";

const HINT = "Drop an image here, paste one, or choose a file.";

/**
 * @param {object} options
 * @param {string} options.id of the file input
 * @param {string} options.label
 * @param {(file: File) => void} [options.take]
 * @param {(files: File[]) => void} [options.takeAll] for several at a time, instead of `take`
 * @param {(text: string) => void} [options.refuse] told in words why something is not taken
 * @param {string} [options.hint]
 */
export function imageInput({ id, label, take, takeAll, refuse = () => {}, hint = HINT }) {
  const give = (files) => (takeAll ? takeAll(files) : take(files[0]));
  const taken = (files) => (files.length ? give(files) : refuse("There was no image in it."));
  const over = (event) => {
    event.preventDefault();
    event.currentTarget.classList.add("over");
  };
  const left = (event) => event.currentTarget.classList.remove("over");
  const dropped = (event) => {
    event.preventDefault();
    left(event);
    taken(imagesOf(event.dataTransfer));
  };
  const chosen = (event) => {
    const files = [...event.target.files];
    event.target.value = ""; // so that the same file can be chosen again
    if (files.length) give(files);
  };
  return html`<div class="drop" @dragover=${over} @dragleave=${left} @drop=${dropped}>
    <label for=${id}>${label}</label>
    <input id=${id} type="file" accept="image/*" ?multiple=${Boolean(takeAll)} @change=${chosen}>
    ${hint ? html`<small>${hint}</small>` : nothing}
  </div>`;
}

/** Takes images that are pasted anywhere on the page, until the signal ends it. */
export function takePasted(take, signal) {
  document.addEventListener(
    "paste",
    (event) => {
      const [image] = imagesOf(event.clipboardData);
      if (!image) return;
      event.preventDefault();
      take(image);
    },
    { signal },
  );
}
