/**
 * The text in which servers tell their metrics: Prometheus' own format and OpenMetrics.
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */

/**
 * @typedef {object} Sample
 * @property {Record<string, string>} labels
 * @property {string} key the same for the same labels, in whatever order they came
 * @property {number} value
 */

/**
 * All samples by the name of their metric. What cannot be read is left out: comments, half lines, whatever else a
 * later version of the format may bring. Timestamps and exemplars are of no use here.
 *
 * @param {string} text
 * @param {(name: string) => boolean} [wanted] of which metrics; of all unless told
 * @returns {Map<string, Sample[]>}
 */
export function parseMetrics(text, wanted = () => true) {
  const found = new Map();
  for (const line of text.split(/\r?\n/)) {
    const sample = sampleOf(line.trim(), wanted);
    if (sample === null) continue;
    if (!found.has(sample.name)) found.set(sample.name, []);
    found.get(sample.name).push({ labels: sample.labels, key: keyOf(sample.labels), value: sample.value });
  }
  return found;
}

function sampleOf(line, wanted) {
  if (line === "" || line.startsWith("#")) return null;
  let [name] = /^[^\s{]*/.exec(line);
  let place = name.length;
  while (line[place] === " " || line[place] === "\t") place++;
  let labels = {};
  if (line[place] === "{") {
    const read = labelsAt(line, place + 1);
    if (read === null) return null;
    ({ labels, place } = read);
    name ||= read.name; // {"a name with.dots", …} since Prometheus 3
  }
  if (name === "" || !wanted(name)) return null;
  const [word] = /^\S*/.exec(line.slice(place).trimStart());
  const value = numberOf(word);
  return value === null ? null : { name, labels, value };
}

/** Labels from behind the opening brace on; null if they have no end. */
function labelsAt(line, from) {
  const labels = {};
  let name = "";
  let place = from;
  for (;;) {
    while (/[\s,]/.test(line[place] ?? "")) place++;
    if (line[place] === "}") return { labels, name, place: place + 1 };
    let label;
    if (line[place] === '"') {
      const quoted = quotedAt(line, place);
      if (quoted === null) return null;
      ({ text: label, place } = quoted);
    } else {
      [label] = /^[^\s={},"]*/.exec(line.slice(place));
      if (label === "") return null;
      place += label.length;
    }
    while (line[place] === " ") place++;
    if (line[place] !== "=") {
      name = label;
      continue;
    }
    do place++;
    while (line[place] === " ");
    const quoted = quotedAt(line, place);
    if (quoted === null) return null;
    labels[label] = quoted.text;
    ({ place } = quoted);
  }
}

/** What stands in quotes, and the place behind; null if they are not closed. */
function quotedAt(line, from) {
  if (line[from] !== '"') return null;
  let text = "";
  for (let place = from + 1; place < line.length; place++) {
    const letter = line[place];
    if (letter === '"') return { text, place: place + 1 };
    if (letter !== "\\") {
      text += letter;
      continue;
    }
    const escaped = line[++place];
    text += escaped === "n" ? "\n" : (escaped ?? "");
  }
  return null;
}

function numberOf(word) {
  const special = { inf: Infinity, "+inf": Infinity, "-inf": -Infinity, nan: NaN }[word.toLowerCase()];
  if (special !== undefined) return special;
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(word) ? Number(word) : null;
}

const keyOf = (labels) => JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
