/** A line drawing for models that want one: a face, black on white. */

/**
 * @param {number} side in pixels
 * @returns {Promise<Blob>} PNG, the same every time
 */
export function sketch(side) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const pen = canvas.getContext("2d");
  pen.scale(side / 64, side / 64);
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, 64, 64);
  pen.lineWidth = 2.5;
  pen.lineCap = "round";
  pen.strokeStyle = pen.fillStyle = "#000";
  pen.beginPath();
  pen.arc(32, 32, 26, 0, 2 * Math.PI);
  pen.moveTo(46, 38);
  pen.arc(32, 38, 14, 0, Math.PI);
  pen.stroke();
  for (const x of [23, 41]) {
    pen.beginPath();
    pen.ellipse(x, 25, 3, 5, 0, 0, 2 * Math.PI);
    pen.fill();
  }
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("The browser draws no PNG"))), "image/png");
  });
}
