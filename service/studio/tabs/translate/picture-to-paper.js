/** A picture as something to draw over: square and small; for models that read lines, a drawing of it in ink. */

import { inked } from "./inked.js";

const SIDE = 256;
const MARGIN = 12; // pixels around a drawing, as around those that models learnt from

/**
 * @param {Blob} file
 * @param {import("./media.js").Medium} medium
 * @returns {Promise<import("./drawing.js").Deed>}
 * @throws {DOMException} if the browser cannot show it
 */
export async function pictureDeed(file, medium) {
  const bitmap = await createImageBitmap(file);
  const scale = SIDE / Math.max(bitmap.width, bitmap.height);
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const picture = areaOf(width, height);
  picture.imageSmoothingQuality = "high";
  picture.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const paper = areaOf(SIDE, SIDE);
  paper.fillStyle = medium.paper;
  paper.fillRect(0, 0, SIDE, SIDE);
  if (medium.lines) drawInk(paper, picture, medium);
  else paper.drawImage(picture.canvas, (SIDE - width) / 2, (SIDE - height) / 2);
  return { kind: "picture", file: paper.canvas.toDataURL("image/png").split(",")[1] };
}

/** Draws what is inked as large as fits, with lines as wide as the pen's. */
function drawInk(paper, picture, { colours, size }) {
  const { box, width } = inked(picture, colours[0].value);
  if (box === null) return;
  const scale = (SIDE - 2 * MARGIN) / Math.max(box.width, box.height);
  const thicker = Math.max(0, (size * SIDE - width * scale) / 2);
  const across = box.width * scale;
  const down = box.height * scale;
  paper.imageSmoothingQuality = "high";
  for (let turn = 0; turn <= 16; turn++) {
    const reach = turn === 16 ? 0 : thicker;
    const x = (SIDE - across) / 2 + reach * Math.cos((turn * Math.PI) / 8);
    const y = (SIDE - down) / 2 + reach * Math.sin((turn * Math.PI) / 8);
    paper.drawImage(picture.canvas, box.x, box.y, box.width, box.height, x, y, across, down);
  }
}

function areaOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas.getContext("2d", { willReadFrequently: true });
}
