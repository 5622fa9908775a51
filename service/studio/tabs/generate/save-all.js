/** All pictures as files: an archive, or as many as the server's limits make it. */

import { download } from "../../core/files.js";
import { bodyOf } from "../../core/generator.js";

/**
 * @param {object} options
 * @param {import("../../core/api.js").Api} options.api
 * @param {import("./wanted.js").Wanted} options.wanted
 * @param {object} options.card of its model
 * @param {"png"|"jpeg"|"webp"} options.format
 * @param {AbortSignal} options.signal
 * @throws {import("../../core/problem.js").Problem}
 */
export async function saveAll({ api, wanted, card, format, signal }) {
  const limits = await api.json("v1/limits", { signal });
  const parts = inParts(wanted.seeds, mostOf(limits, card));
  for (const [index, seeds] of parts.entries()) {
    const json = { ...bodyOf(wanted, seeds), format };
    const { blob } = await api.blob("v1/generate", { json, accept: "application/zip", signal });
    download(blob, parts.length === 1 ? `${card.name}.zip` : `${card.name}-${index + 1}-of-${parts.length}.zip`);
  }
}

/** How many pictures one call makes. */
function mostOf({ max_images_per_request: images, max_output_pixels: pixels }, { resolution }) {
  return Math.max(1, resolution ? Math.min(images, Math.floor(pixels / resolution ** 2)) : images);
}

function inParts(seeds, most) {
  return Array.from({ length: Math.ceil(seeds.length / most) }, (_, part) => seeds.slice(part * most, (part + 1) * most));
}
