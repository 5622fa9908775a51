/** Files as pixels that are ready to be drawn, and given back. */

const LONGEST_OVERVIEW = 2048;

/**
 * A picture in memory: its pixels, and of large ones a small copy for when all of it is looked at, since drawing
 * millions of pixels for every movement would not be smooth.
 *
 * @typedef {object} Picture
 * @property {ImageBitmap} bitmap
 * @property {ImageBitmap|null} overview
 * @property {number} width
 * @property {number} height
 * @property {() => void} close
 */

/**
 * @param {Blob} blob
 * @returns {Promise<Picture|null>} null for what this browser cannot show, as a TIFF
 */
export async function decoded(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    return null;
  }
  const { width, height } = bitmap;
  const overview = await shrunk(bitmap);
  const close = () => {
    bitmap.close();
    overview?.close();
  };
  return { bitmap, overview, width, height, close };
}

async function shrunk(bitmap) {
  const longest = Math.max(bitmap.width, bitmap.height);
  if (longest <= LONGEST_OVERVIEW) return null;
  const scale = LONGEST_OVERVIEW / longest;
  return createImageBitmap(bitmap, {
    resizeWidth: Math.max(1, Math.round(bitmap.width * scale)),
    resizeHeight: Math.max(1, Math.round(bitmap.height * scale)),
    resizeQuality: "high",
  }).catch(() => null);
}

/**
 * Draws the part of a picture that is within a clip.
 *
 * @param {CanvasRenderingContext2D} area
 * @param {Picture} picture
 * @param {{x: number, y: number, width: number, height: number}} box where all of it would be
 * @param {{x: number, y: number, width: number, height: number}} clip what is drawn of that
 * @param {boolean} smooth whether enlarged pixels flow into each other
 */
export function paint(area, picture, box, clip, smooth) {
  if (clip.width <= 0 || clip.height <= 0) return;
  const shrinks = box.width < picture.width;
  const from = picture.overview && box.width <= picture.overview.width ? picture.overview : picture.bitmap;
  const across = from.width / box.width;
  const down = from.height / box.height;
  // Two pixels more each way, for smoothing looks at neighbours.
  const left = Math.max(0, Math.floor((clip.x - box.x) * across) - 2);
  const top = Math.max(0, Math.floor((clip.y - box.y) * down) - 2);
  const right = Math.min(from.width, Math.ceil((clip.x + clip.width - box.x) * across) + 2);
  const bottom = Math.min(from.height, Math.ceil((clip.y + clip.height - box.y) * down) + 2);
  area.save();
  area.beginPath();
  area.rect(clip.x, clip.y, clip.width, clip.height);
  area.clip();
  area.imageSmoothingEnabled = smooth || shrinks;
  area.imageSmoothingQuality = shrinks ? "medium" : "high";
  area.drawImage(
    from,
    left,
    top,
    right - left,
    bottom - top,
    box.x + left / across,
    box.y + top / down,
    (right - left) / across,
    (bottom - top) / down,
  );
  area.restore();
}
