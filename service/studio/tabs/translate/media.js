/** What models want to be shown, and with which colours it is drawn: looked up in the pictures they learnt from. */

/**
 * @typedef {object} Medium
 * @property {string} id under which its drawing is kept
 * @property {boolean} drawn whether drawing comes first, or pictures
 * @property {string} wants what the model has learnt to read, as a sentence
 * @property {string} paper colour of the ground
 * @property {{name: string, value: string}[]} colours the first is taken first
 * @property {number} size of the pen, as a share of the side
 * @property {string} fit that suits most pictures
 * @property {boolean} lines whether a picture that is drawn over is made a drawing in ink
 */

/** Lines of 4 in 64 pixels, in the grey of Fluent's high-contrast emoji. */
const INK = {
  id: "ink",
  drawn: true,
  wants: "Black lines and areas on white. Close your shapes: it colours what they hold.",
  paper: "#ffffff",
  colours: [{ name: "Ink", value: "#212121" }],
  size: 4 / 64,
  fit: "pad",
  lines: true,
};

/** The colours of heights in ETOPO1. */
const RELIEF = {
  id: "relief",
  drawn: true,
  wants: "A relief map: blue seas, the deeper the darker; green lowlands, brown heights.",
  paper: "#1f8fe6",
  colours: [
    { name: "Lowland", value: "#6fc46a" },
    { name: "Hills", value: "#e8c78f" },
    { name: "Mountains", value: "#a8772a" },
    { name: "Shallow sea", value: "#b4dcf0" },
    { name: "Sea", value: "#1f8fe6" },
    { name: "Deep sea", value: "#1a3fe0" },
  ],
  size: 10 / 64,
  fit: "native",
  lines: false,
};

/** The colours of the Earth in Blue Marble. */
const SATELLITE = {
  id: "satellite",
  drawn: false,
  wants: "The Earth from above: dark seas, green and sandy land.",
  paper: "#0a1a42",
  colours: [
    { name: "Forest", value: "#1f2d16" },
    { name: "Grassland", value: "#454a24" },
    { name: "Steppe", value: "#86765a" },
    { name: "Desert", value: "#cfae86" },
    { name: "Coastal water", value: "#274867" },
    { name: "Sea", value: "#0a1a42" },
  ],
  size: 10 / 64,
  fit: "native",
  lines: false,
};

/** Of models that nothing is known about. */
const ANY = {
  id: "any",
  drawn: false,
  wants: "",
  paper: "#ffffff",
  colours: [
    { name: "Black", value: "#000000" },
    { name: "Grey", value: "#808080" },
    { name: "White", value: "#ffffff" },
    { name: "Red", value: "#d8342c" },
    { name: "Yellow", value: "#f2c230" },
    { name: "Green", value: "#3a9a48" },
    { name: "Blue", value: "#2f6fd0" },
    { name: "Brown", value: "#80552f" },
  ],
  size: 2 / 64,
  fit: "native",
  lines: false,
};

/**
 * What a translator wants, by the words of its card: what comes before "to" is what it reads.
 *
 * @param {object} card
 * @returns {Medium}
 */
export function mediumOf(card) {
  const [read] = `${card.name} ${card.title ?? ""}`.toLowerCase().split(/[-\s]to[-\s]|2/);
  if (/sketch|drawing|edge|contour|\blines?\b/.test(read)) return INK;
  if (/relief/.test(read)) return RELIEF;
  if (/satellite/.test(read)) return SATELLITE;
  return ANY;
}
