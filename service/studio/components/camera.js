/** A picture from the camera: seen live, taken, and the camera given back whatever happens. */

import { html, render } from "../core/lit.js";

const QUALITY = 0.92;
const TROUBLES = {
  NotAllowedError: "The camera may not be used by this page. Allow it beside the address, and try again.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera is there, but another program may be using it.",
};
const INSECURE =
  "Browsers lend the camera only to pages that came over https, or from this machine. Choose a file instead.";

/**
 * Shows what the camera sees in a dialog, until a picture is taken or it is called off.
 *
 * @param {object} options
 * @param {AbortSignal} options.signal calls it off
 * @param {(text: string) => void} options.announce
 * @returns {Promise<File|null>} null if it was called off
 * @throws {Error} with a message for the user, if there is no picture to be had
 */
export async function takePhoto({ signal, announce }) {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error(INSECURE);
  const dialog = document.createElement("dialog");
  dialog.className = "camera";
  dialog.setAttribute("aria-label", "Camera");
  const eye = new Camera(dialog);
  const closed = new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  const off = () => dialog.close();
  signal.addEventListener("abort", off, { once: true });
  document.body.append(dialog);
  dialog.showModal();
  try {
    await Promise.race([eye.open("environment"), closed]);
    if (dialog.open) announce("The camera is on");
    await Promise.race([closed, eye.lost]);
    return eye.photo;
  } finally {
    signal.removeEventListener("abort", off);
    eye.close();
    dialog.remove();
  }
}

class Camera {
  photo = null;
  #dialog;
  #video = document.createElement("video");
  #stream = null;
  #closed = false;
  #facing = "";
  #several = false;
  #lose;
  /** Rejects when the camera is unplugged. */
  lost = new Promise((_, reject) => (this.#lose = reject));

  constructor(dialog) {
    this.#dialog = dialog;
    this.#video.muted = true;
    this.#video.playsInline = true;
    this.#video.setAttribute("aria-label", "What the camera sees");
    this.lost.catch(() => {});
    this.#draw();
  }

  /** @param {"environment"|"user"} facing away from the user, or towards */
  async open(facing) {
    this.#facing = facing;
    this.#release();
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: facing, width: { ideal: 1280 }, height: { ideal: 1280 } },
        audio: false,
      });
    } catch (error) {
      throw new Error(TROUBLES[error.name] ?? `The camera did not start: ${error.message || error.name}.`);
    }
    this.#stream = stream;
    if (this.#closed) return this.#release();
    stream.getVideoTracks()[0].addEventListener("ended", () => this.#lose(new Error("The camera has gone.")));
    this.#video.srcObject = stream;
    await this.#video.play().catch(() => {}); // it is called off when the dialog is closed
    const devices = await navigator.mediaDevices.enumerateDevices();
    this.#several = devices.filter(({ kind }) => kind === "videoinput").length > 1;
    return this.#draw();
  }

  close() {
    this.#closed = true;
    this.#release();
  }

  #release() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#video.srcObject = null;
  }

  #draw() {
    const live = this.#video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
    const turn = () =>
      this.open(this.#facing === "user" ? "environment" : "user").catch((error) => this.#lose(error));
    render(
      html`${this.#video}
        <p class="row">
          <button type="button" class="primary" id="camera-take" ?disabled=${!live} @click=${() => this.#take()}>
            ${live ? "Take the picture" : "Waiting for the camera…"}</button>
          ${this.#several ? html`<button type="button" @click=${turn}>Other camera</button>` : ""}
          <button type="button" class="quiet" id="camera-cancel" @click=${() => this.#dialog.close()}>Cancel</button>
        </p>`,
      this.#dialog,
    );
  }

  async #take() {
    const canvas = document.createElement("canvas");
    canvas.width = this.#video.videoWidth;
    canvas.height = this.#video.videoHeight;
    canvas.getContext("2d").drawImage(this.#video, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
    if (blob) this.photo = new File([blob], "photo.jpg", { type: "image/jpeg" });
    this.#dialog.close();
  }
}
