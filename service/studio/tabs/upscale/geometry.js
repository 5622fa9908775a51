/**
 * Where pixels of a picture are on a stage: arithmetic alone. Lengths on the stage are in pixels of the screen, so that
 * at 1 one of them shows one of the picture.
 */

export const MOST_ZOOM = 32;

/** The largest scale at which all of it is seen; above 1 a whole number, so that its pixels stay alike. */
export function fitting(size, stage) {
  const scale = Math.min(stage.width / size.width, stage.height / size.height);
  return scale >= 1 ? Math.min(MOST_ZOOM, Math.floor(scale)) : scale;
}

/** The scale of a zoom: a number, or "fit". */
export function scaleOf(zoom, size, stage) {
  return zoom === "fit" ? fitting(size, stage) : zoom;
}

/**
 * Where the picture lies.
 *
 * @param {{width: number, height: number}} size of the picture
 * @param {{width: number, height: number}} stage
 * @param {{zoom: number|"fit", x: number, y: number}} view x and y: what is in the middle, as fractions of the picture
 * @returns {{x: number, y: number, width: number, height: number, scale: number}}
 */
export function boxOf(size, stage, view) {
  const box = exactBox(size, stage, view);
  return { ...box, x: Math.round(box.x), y: Math.round(box.y) };
}

/** The same between pixels of the screen: of many small movements none is lost. */
function exactBox(size, stage, { zoom, x, y }) {
  const scale = scaleOf(zoom, size, stage);
  const width = size.width * scale;
  const height = size.height * scale;
  return { x: placed(x, width, stage.width), y: placed(y, height, stage.height), width, height, scale };
}

/** Of the box, what is on the stage. */
export function seen(box, stage) {
  const left = Math.max(0, box.x);
  const top = Math.max(0, box.y);
  return {
    x: left,
    y: top,
    width: Math.max(0, Math.min(stage.width, box.x + box.width) - left),
    height: Math.max(0, Math.min(stage.height, box.y + box.height) - top),
  };
}

/** The view in which the picture lies elsewhere by so much. */
export function moved(size, stage, view, dx, dy) {
  const box = exactBox(size, stage, view);
  return {
    ...view,
    x: middle(box.x + dx, box.width, stage.width),
    y: middle(box.y + dy, box.height, stage.height),
  };
}

/** The view at another scale in which the point of the picture that is at `point` of the stage stays there. */
export function zoomed(size, stage, view, zoom, point) {
  const box = exactBox(size, stage, view);
  const scale = scaleOf(zoom, size, stage);
  const across = (point.x - box.x) / box.width;
  const down = (point.y - box.y) / box.height;
  const width = size.width * scale;
  const height = size.height * scale;
  return {
    zoom,
    x: middle(point.x - across * width, width, stage.width),
    y: middle(point.y - down * height, height, stage.height),
  };
}

function placed(at, length, room) {
  if (length <= room) return (room - length) / 2;
  return Math.min(0, Math.max(room - length, room / 2 - at * length));
}

function middle(start, length, room) {
  if (length <= room) return 0.5;
  const held = Math.min(0, Math.max(room - length, start));
  return (room / 2 - held) / length;
}
