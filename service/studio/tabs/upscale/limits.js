/** What the server would refuse, told before a file is sent. */

import { bytes, number } from "../../core/text.js";

// A form is a little larger than the file in it.
const FORM_BYTES = 2048;

/**
 * @param {object} limits as `GET /v1/limits` has them
 * @param {Blob} file
 * @param {{width: number, height: number}|null} size of the picture, if it is known
 * @param {{width: number, height: number}|null} enlarged
 * @param {string} format of the result
 * @returns {string} why it would be refused, and what to do; empty if nothing is known against it
 */
export function objection(limits, file, size, enlarged, format) {
  if (file.size + FORM_BYTES > limits.max_upload_bytes) {
    return `This server takes files of up to ${bytes(limits.max_upload_bytes)}; this one has ${bytes(file.size)}.`;
  }
  const read = limits.max_image_pixels / 1e6;
  if (size && megapixels(size) > read) {
    return `This server reads up to ${number(read)} megapixels; this picture has ${number(megapixels(size))}.`;
  }
  const made = (format === "webp" ? limits.max_webp_pixels : limits.max_output_pixels) / 1e6;
  if (enlarged && megapixels(enlarged) > made) {
    return `This server makes up to ${number(made)} megapixels as ${format}; these would be
      ${number(megapixels(enlarged))}. Choose a smaller factor.`;
  }
  return "";
}

const megapixels = ({ width, height }) => (width * height) / 1e6;
