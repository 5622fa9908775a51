/** Files in and out of the page. */

/** Saves a blob as a download. */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  // The download has begun by then; a URL that is never given back keeps its pixels in memory.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** URLs of blobs for `<img>`, one for each blob, until `clear`. */
export class BlobUrls {
  #urls = new Map();

  of(blob) {
    if (!this.#urls.has(blob)) this.#urls.set(blob, URL.createObjectURL(blob));
    return this.#urls.get(blob);
  }

  /** Gives one back. */
  drop(blob) {
    if (!this.#urls.has(blob)) return;
    URL.revokeObjectURL(this.#urls.get(blob));
    this.#urls.delete(blob);
  }

  clear() {
    for (const url of this.#urls.values()) URL.revokeObjectURL(url);
    this.#urls.clear();
  }
}

/** A file out of a JSON answer. */
export function fromBase64(text, type) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type });
}

/** The images among what was pasted or dropped. */
export function imagesOf(transfer) {
  return [...(transfer?.files ?? [])].filter((file) => file.type.startsWith("image/"));
}

/** The extension that goes with a media type. */
export function extensionOf(type) {
  const known = { "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif" };
  return { ...known, "image/apng": "apng", "video/mp4": "mp4", "application/zip": "zip" }[type.split(";")[0]] ?? "bin";
}
