/** A photographed or scanned drawing as ink alone: what is darker than the paper around it, in whatever light. */

const AROUND = 16; // pixels each way whose mean is the paper's light
const DARKER = 16; // levels
const DARK = 0.4; // of the lightest: dark whatever is around it, as within filled areas

/**
 * Leaves only the ink, on nothing.
 *
 * @param {CanvasRenderingContext2D} area
 * @param {string} colour `#rrggbb` of the ink
 * @returns {{box: {x: number, y: number, width: number, height: number}|null, width: number}} where there is ink, and
 *   how wide its lines are about
 */
export function inked(area, colour) {
  const { width, height } = area.canvas;
  const image = area.getImageData(0, 0, width, height);
  const light = lightOf(image.data);
  const around = means(light, width, height);
  const lightest = Float32Array.from(light).sort()[Math.floor(0.95 * (light.length - 1))];
  const dark = light.map((level, at) => (level < DARK * lightest || level < around[at] - DARKER ? 1 : 0));
  const ink = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  dark.forEach((one, at) => image.data.set([...ink, 255 * one], 4 * at));
  area.putImageData(image, 0, 0);
  return measured(dark, width, height);
}

function lightOf(data) {
  const light = new Float32Array(data.length / 4);
  for (let at = 0; at < light.length; at++) {
    const opaque = data[4 * at + 3] / 255; // below it is white
    const level = 0.299 * data[4 * at] + 0.587 * data[4 * at + 1] + 0.114 * data[4 * at + 2];
    light[at] = 255 + opaque * (level - 255);
  }
  return light;
}

/** The mean of the square around each pixel, by a table of sums. */
function means(light, width, height) {
  const wide = width + 1;
  const sums = new Float64Array(wide * (height + 1));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = (y + 1) * wide + x + 1;
      sums[at] = light[y * width + x] + sums[at - 1] + sums[at - wide] - sums[at - wide - 1];
    }
  }
  return light.map((_, at) => {
    const [x, y] = [at % width, Math.floor(at / width)];
    const [left, top] = [Math.max(0, x - AROUND), Math.max(0, y - AROUND)];
    const [right, bottom] = [Math.min(width, x + AROUND + 1), Math.min(height, y + AROUND + 1)];
    const sum = (row) => sums[row * wide + right] - sums[row * wide + left];
    return (sum(bottom) - sum(top)) / ((right - left) * (bottom - top));
  });
}

/** The box of the ink, and the width of a line that has as much area and as long an edge. */
function measured(dark, width, height) {
  let [left, top, right, bottom, size, edge] = [width, height, -1, -1, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!dark[y * width + x]) continue;
      [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)];
      size++;
      edge += (x > 0 && !dark[y * width + x - 1]) + (x < width - 1 && !dark[y * width + x + 1]);
      edge += (y > 0 && !dark[(y - 1) * width + x]) + (y < height - 1 && !dark[(y + 1) * width + x]);
    }
  }
  if (size === 0) return { box: null, width: 0 };
  // Steps along a slanted edge are 4 / π as long as it, on average.
  const length = Math.max(1, (edge * Math.PI) / 4);
  return { box: { x: left, y: top, width: right - left + 1, height: bottom - top + 1 }, width: (2 * size) / length };
}
