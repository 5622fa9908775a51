/** A picture as something to draw over: square, small, and black on white for models that read lines. */

const SIDE = 256;
const AROUND = 12; // pixels around each whose mean tells ink from paper, in whatever light it was photographed
const DARKER = 14; // levels
const DARK = 110; // dark whatever is around it: filled areas

/**
 * @param {Blob} file
 * @param {import("./media.js").Medium} medium
 * @returns {Promise<import("./drawing.js").Deed>}
 * @throws {DOMException} if the browser cannot show it
 */
export async function pictureDeed(file, medium) {
  const bitmap = await createImageBitmap(file);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const area = canvas.getContext("2d", { willReadFrequently: true });
  area.fillStyle = medium.paper;
  area.fillRect(0, 0, SIDE, SIDE);
  const scale = SIDE / Math.max(bitmap.width, bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  area.imageSmoothingQuality = "high";
  area.drawImage(bitmap, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
  bitmap.close();
  if (medium.lines) inked(area, medium.colours[0].value);
  return { kind: "picture", file: canvas.toDataURL("image/png").split(",")[1] };
}

/** What is darker than its surroundings becomes ink. */
function inked(area, colour) {
  const image = area.getImageData(0, 0, SIDE, SIDE);
  const light = new Float32Array(SIDE * SIDE);
  for (let at = 0; at < light.length; at++) {
    const [red, green, blue] = image.data.subarray(4 * at, 4 * at + 3);
    light[at] = 0.299 * red + 0.587 * green + 0.114 * blue;
  }
  const around = means(light);
  const ink = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  for (let at = 0; at < light.length; at++) {
    const dark = light[at] < DARK || light[at] < around[at] - DARKER;
    for (let channel = 0; channel < 3; channel++) image.data[4 * at + channel] = dark ? ink[channel] : 255;
  }
  area.putImageData(image, 0, 0);
}

/** The mean of the square around each pixel, by a table of sums. */
function means(light) {
  const wide = SIDE + 1;
  const sums = new Float64Array(wide * wide);
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const at = (y + 1) * wide + x + 1;
      sums[at] = light[y * SIDE + x] + sums[at - 1] + sums[at - wide] - sums[at - wide - 1];
    }
  }
  return light.map((_, at) => {
    const [x, y] = [at % SIDE, Math.floor(at / SIDE)];
    const [left, top] = [Math.max(0, x - AROUND), Math.max(0, y - AROUND)];
    const [right, bottom] = [Math.min(SIDE, x + AROUND + 1), Math.min(SIDE, y + AROUND + 1)];
    const sum = (row, from, to) => sums[row * wide + to] - sums[row * wide + from];
    return (sum(bottom, left, right) - sum(top, left, right)) / ((right - left) * (bottom - top));
  });
}
