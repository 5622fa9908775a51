/** Fills an area up to the lines around it. */

const ALIKE = 48; // levels; what is within is the same area
const SEAM = 1; // pixels that are filled under the soft edge of a line, which would shine through otherwise

/**
 * @param {CanvasRenderingContext2D} area
 * @param {number} x where it begins, in pixels
 * @param {number} y
 * @param {string} colour `#rrggbb`
 */
export function floodFill(area, x, y, colour) {
  const { width, height } = area.canvas;
  if (x < 0 || y < 0 || x >= width || y >= height) return;
  const image = area.getImageData(0, 0, width, height);
  const within = region(image, x, y);
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const ink = (255 << 24) | (blue << 16) | (green << 8) | red; // as little-endian machines have it, which all are
  const pixels = new Uint32Array(image.data.buffer);
  for (let at = 0; at < within.length; at++) {
    if (within[at] || touches(within, at, width)) pixels[at] = ink;
  }
  area.putImageData(image, 0, 0);
}

function touches(within, at, width) {
  const column = at % width;
  return (
    (column >= SEAM && within[at - SEAM]) || (column < width - SEAM && within[at + SEAM]) ||
    within[at - SEAM * width] || within[at + SEAM * width]
  );
}

/** The pixels that are connected to one and alike, as 1 in a list of 0. */
function region({ data, width, height }, x, y) {
  const within = new Uint8Array(width * height);
  const start = 4 * (y * width + x);
  const wanted = [data[start], data[start + 1], data[start + 2]];
  const alike = (at) =>
    !within[at] &&
    Math.abs(data[4 * at] - wanted[0]) <= ALIKE &&
    Math.abs(data[4 * at + 1] - wanted[1]) <= ALIKE &&
    Math.abs(data[4 * at + 2] - wanted[2]) <= ALIKE;
  const rows = [[y, x]];
  while (rows.length) {
    const [row, column] = rows.pop();
    if (!alike(row * width + column)) continue;
    let left = column;
    let right = column;
    while (left > 0 && alike(row * width + left - 1)) left--;
    while (right < width - 1 && alike(row * width + right + 1)) right++;
    within.fill(1, row * width + left, row * width + right + 1);
    for (const next of [row - 1, row + 1]) {
      if (next < 0 || next >= height) continue;
      for (let at = left; at <= right; at++) {
        const place = next * width + at;
        if (alike(place) && (at === right || !alike(place + 1))) rows.push([next, at]);
      }
    }
  }
  return within;
}
