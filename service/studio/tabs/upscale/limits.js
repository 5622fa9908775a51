/** What this server refuses, as far as it has said so: then it can be told before a file is sent. */

import { bytes, number } from "../../core/text.js";

export class Limits {
  #known = new Map();

  /** Takes in what a problem says of a limit. */
  learn({ slug, fields }, format) {
    const limit = fields.limit_bytes ?? fields.limit_pixels ?? fields.limit_side;
    if (limit !== undefined) this.#known.set(slug === "output-too-large" ? `${slug} ${format}` : slug, limit);
  }

  /**
   * Why a file would be refused, in words, or an empty text.
   *
   * @param {Blob} file
   * @param {{width: number, height: number}|null} size
   * @param {{width: number, height: number}|null} enlarged
   * @param {string} format of the result
   */
  objection(file, size, enlarged, format) {
    const most = (slug) => this.#known.get(slug) ?? Infinity;
    if (file.size > most("body-too-large")) {
      return `This server takes ${bytes(most("body-too-large"))} at a time, and the file has ${bytes(file.size)}.`;
    }
    if (size && size.width * size.height > most("image-too-large")) {
      return `This server reads up to ${number(most("image-too-large") / 1e6)} megapixels, and the picture has
        ${number((size.width * size.height) / 1e6)}.`;
    }
    const output = most(`output-too-large ${format}`);
    if (enlarged && enlarged.width * enlarged.height > output) {
      return `This server makes up to ${number(output / 1e6)} megapixels as ${format}, and the result would have
        ${number((enlarged.width * enlarged.height) / 1e6)}: choose a smaller factor.`;
    }
    return "";
  }
}
