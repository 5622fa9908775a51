/** Where files are dropped or chosen. */

import { classMap, html } from "../../core/lit.js";

/** @param {import("./new-job.js").NewJob} job */
export function dropZone(job) {
  const take = (event) => {
    const files = [...event.target.files];
    event.target.value = ""; // so that the same can be chosen again
    if (files.length) job.fromThese(files);
  };
  return html`<section class=${classMap({ dropzone: true, over: job.over })} aria-label="New job">
    <p>
      <strong>Drop a folder, images or a zip here</strong><br /><small
        >to upscale or translate them all; nothing is lost when this page is closed.</small
      >
    </p>
    <div class="row">
      <label class="button pick"
        >Choose a folder<input id="folder" type="file" webkitdirectory multiple @change=${take}
      /></label>
      <label class="button pick"
        >Choose files<input id="files" type="file" multiple accept="image/*,.zip,application/zip" @change=${take}
      /></label>
      <button type="button" id="seeds-job" @click=${job.beginSeeds}>Generate from seeds</button>
    </div>
  </section>`;
}
