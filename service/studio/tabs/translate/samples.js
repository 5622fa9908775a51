/** Drawings to begin with, for each medium; in units of the drawing, see drawing.js. */

const pen = { colour: "#212121", size: 64 };
const oval = (points, more = {}) => ({ kind: "oval", ...pen, points, ...more });
const stroke = (points, more = {}) => ({ kind: "stroke", ...pen, points, ...more });
const fill = (points, more = {}) => ({ kind: "fill", colour: pen.colour, points, ...more });

const SMILEY = [
  oval([64, 64, 960, 960]),
  stroke([368, 372, 368, 452], { size: 100, mirrored: true }),
  stroke([300, 620, 360, 690, 430, 730, 512, 742, 594, 730, 664, 690, 724, 620]),
];

const HEART = [
  stroke(
    [512, 930, 400, 850, 240, 720, 110, 560, 70, 400, 100, 260, 200, 170, 320, 150, 430, 200, 512, 300],
    { mirrored: true },
  ),
  fill([512, 500]),
];

const SURPRISED = [
  oval([64, 64, 960, 960]),
  stroke([340, 380, 340, 430], { size: 100, mirrored: true }),
  oval([420, 600, 604, 800]),
  fill([512, 700]),
];

const CAT = [
  stroke([110, 120, 100, 400, 90, 600, 180, 780, 340, 880, 512, 900], { mirrored: true }),
  stroke([110, 120, 330, 260], { mirrored: true }),
  stroke([330, 260, 512, 240], { mirrored: true }),
  stroke([330, 500, 330, 560], { size: 96, mirrored: true }),
  stroke([470, 660, 512, 690, 554, 660]),
  stroke([512, 690, 512, 730]),
];

const SIGN = [
  stroke([80, 80, 944, 80]),
  stroke([80, 944, 944, 944]),
  stroke([80, 80, 80, 944], { mirrored: true }),
  stroke([330, 330, 694, 694], { mirrored: true }),
];

/** An island with mountains, in the colours of a medium from the coast inwards. */
const island = (shallow, coast, hills, heights) => [
  stroke([260, 620, 340, 420, 500, 360, 680, 400, 760, 560], { colour: shallow, size: 360 }),
  stroke([280, 600, 360, 440, 500, 380, 660, 420, 730, 540], { colour: coast, size: 230 }),
  stroke([380, 480, 480, 420, 600, 430, 680, 500], { colour: hills, size: 120 }),
  stroke([440, 450, 520, 425, 600, 450], { colour: heights, size: 56 }),
];

/** @type {Record<string, {name: string, deeds: import("./drawing.js").Deed[]}[]>} */
export const SAMPLES = {
  ink: [
    { name: "Smiley", deeds: SMILEY },
    { name: "Surprised", deeds: SURPRISED },
    { name: "Cat", deeds: CAT },
    { name: "Heart", deeds: HEART },
    { name: "Sign", deeds: SIGN },
  ],
  relief: [{ name: "Island", deeds: island("#b4dcf0", "#6fc46a", "#e8c78f", "#a8772a") }],
  satellite: [{ name: "Island", deeds: island("#274867", "#1f2d16", "#454a24", "#86765a") }],
  any: [],
};
