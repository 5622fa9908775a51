/** Deeds as pixels. The same deeds on a paper of the same size always make the same picture. */

import { fromBase64 } from "../../core/files.js";
import { floodFill } from "./flood-fill.js";
import { UNITS } from "./drawing.js";

const bitmaps = new WeakMap();

/** Decodes the pictures among deeds, which cannot be painted before. */
export async function readied(deeds) {
  const missing = deeds.filter((deed) => deed.kind === "picture" && !bitmaps.has(deed));
  const decode = (deed) => createImageBitmap(fromBase64(deed.file, "image/png")).catch(() => null);
  await Promise.all(missing.map(async (deed) => bitmaps.set(deed, await decode(deed))));
}

/**
 * @param {CanvasRenderingContext2D} area of a square canvas
 * @param {import("./drawing.js").Deed} deed
 * @param {string} paper
 */
export function paint(area, deed, paper) {
  const side = area.canvas.width;
  if (deed.kind === "clear") return blank(area, paper);
  if (deed.kind === "picture") {
    const bitmap = bitmaps.get(deed);
    area.imageSmoothingQuality = "high";
    if (bitmap) area.drawImage(bitmap, 0, 0, side, side);
    return undefined;
  }
  inUnits(area, deed, false);
  if (deed.mirrored) inUnits(area, deed, true);
  return undefined;
}

export function blank(area, paper) {
  area.fillStyle = paper;
  area.fillRect(0, 0, area.canvas.width, area.canvas.height);
}

function inUnits(area, deed, flipped) {
  const scale = area.canvas.width / UNITS;
  if (deed.kind === "fill") {
    const x = flipped ? UNITS - 1 - deed.points[0] : deed.points[0];
    floodFill(area, Math.floor(x * scale), Math.floor(deed.points[1] * scale), deed.colour);
    return;
  }
  area.save();
  area.setTransform(flipped ? -scale : scale, 0, 0, scale, flipped ? area.canvas.width : 0, 0);
  area.lineCap = area.lineJoin = "round";
  area.strokeStyle = area.fillStyle = deed.colour;
  area.lineWidth = deed.size;
  ({ stroke, line, oval })[deed.kind]?.(area, deed);
  area.restore();
}

function stroke(area, { points, size, widths }) {
  if (points.length === 2) return dot(area, points, size * (widths?.[0] ?? 1));
  if (widths) return pressed(area, { points, size, widths });
  // Curves that pass between the points, as a hand does.
  area.beginPath();
  area.moveTo(points[0], points[1]);
  for (let at = 2; at < points.length - 2; at += 2) {
    const [x, y, nextX, nextY] = points.slice(at, at + 4);
    area.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
  }
  area.lineTo(points.at(-2), points.at(-1));
  return area.stroke();
}

function pressed(area, { points, size, widths }) {
  for (let at = 2; at < points.length; at += 2) {
    area.lineWidth = (size * (widths[at / 2 - 1] + widths[at / 2])) / 2;
    area.beginPath();
    area.moveTo(points[at - 2], points[at - 1]);
    area.lineTo(points[at], points[at + 1]);
    area.stroke();
  }
}

function dot(area, [x, y], size) {
  area.beginPath();
  area.arc(x, y, size / 2, 0, 2 * Math.PI);
  area.fill();
}

function line(area, { points }) {
  area.beginPath();
  area.moveTo(points[0], points[1]);
  area.lineTo(points[2], points[3]);
  area.stroke();
}

function oval(area, { points: [left, top, right, bottom] }) {
  area.beginPath();
  const [across, down] = [Math.abs(right - left) / 2, Math.abs(bottom - top) / 2];
  area.ellipse((left + right) / 2, (top + bottom) / 2, across, down, 0, 0, 2 * Math.PI);
  area.stroke();
}

/**
 * A copy at another size: halved as often as it can be, so that every pixel is the mean of those it stands for, in
 * every browser.
 *
 * @param {HTMLCanvasElement} canvas whose side is `side` times a power of two
 * @param {number} side
 */
export function reduced(canvas, side) {
  let from = canvas;
  while (from.width > side) {
    const half = document.createElement("canvas");
    half.width = half.height = from.width / 2;
    const area = half.getContext("2d");
    area.imageSmoothingQuality = "low"; // just the mean of four
    area.drawImage(from, 0, 0, half.width, half.height);
    from = half;
  }
  return from;
}
