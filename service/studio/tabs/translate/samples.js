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

const FLOWER = [
  oval([392, 260, 632, 500]),
  oval([404, 56, 620, 250]),
  oval([404, 510, 620, 704]),
  oval([170, 274, 384, 486], { mirrored: true }),
  stroke([512, 720, 512, 960]),
  stroke([512, 940, 600, 850, 720, 810, 820, 800, 780, 900, 680, 950, 512, 950]),
];

const BALL = [oval([64, 64, 960, 960]), stroke([512, 80, 512, 944]), stroke([80, 512, 944, 512]),
  stroke([190, 220, 300, 360, 340, 512, 300, 664, 190, 804], { mirrored: true })];

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
    { name: "Heart", deeds: HEART },
    { name: "Flower", deeds: FLOWER },
    { name: "Ball", deeds: BALL },
  ],
  relief: [{ name: "Island", deeds: island("#b4dcf0", "#6fc46a", "#e8c78f", "#a8772a") }],
  satellite: [{ name: "Island", deeds: island("#274867", "#1f2d16", "#454a24", "#86765a") }],
  any: [],
};
