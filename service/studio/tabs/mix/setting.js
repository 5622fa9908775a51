/** What is on screen: the rows, the columns, and what is taken of them. */

import { labelFor } from "../../core/generator.js";
import { layersFrom, layersText, layersValue } from "./layers.js";
import { MOST, readSource, recipeOf, sourceJson, sourceText } from "./sources.js";

const ROWS = [1, 2, 3, 4];
const COLUMNS = [11, 12, 13, 14];

/**
 * @typedef {object} Setting
 * @property {object} card of the generator
 * @property {object[]} rows sources, see `sources.js`
 * @property {object[]} columns
 * @property {number[]} layers that are taken of the columns, in order
 * @property {number} truncation
 * @property {{rows: string|null, columns: string|null}} labels classes of their seeds
 */

/** @returns {Setting} what a URL says, completed for a generator */
export function readSetting(params, card) {
  const truncation = Number(params.get("truncation") ?? 1);
  const label = params.get("label");
  return {
    card,
    rows: readSources(params.get("rows"), ROWS),
    columns: readSources(params.get("columns"), COLUMNS),
    layers: layersFrom(params.get("layers") ?? "middle,fine", card),
    truncation: Number.isFinite(truncation) ? Math.min(2, Math.max(-2, truncation)) : 1,
    labels: {
      rows: labelFor(card, label),
      columns: labelFor(card, params.get("column-label") ?? label),
    },
  };
}

/** The parameters of a setting, for `View.replace`. */
export function paramsOf({ card, rows, columns, layers, truncation, labels }) {
  return {
    model: card.name,
    rows: rows.map(sourceText).join(","),
    columns: columns.map(sourceText).join(","),
    layers: layersText(layers, card) || "none",
    truncation: truncation === 1 ? null : truncation,
    label: labels.rows,
    "column-label": labels.columns === labels.rows ? null : labels.columns,
  };
}

/** The picture of a row or a column by itself. */
export function headerOf(setting, axis, source) {
  return recipeOf(source, { model: setting.card.name, truncation: setting.truncation, label: setting.labels[axis] });
}

/** The body of `POST /v1/style-mix`, for all or for some of the rows and columns. */
export function bodyOf(setting, { rows = setting.rows, columns = setting.columns } = {}) {
  return {
    model: setting.card.name,
    rows: rows.map((source) => sourceJson(source, setting.labels.rows, setting.labels.rows)),
    columns: columns.map((source) => sourceJson(source, setting.labels.columns, setting.labels.rows)),
    layers: layersValue(setting.layers, setting.card),
    ...(setting.truncation === 1 ? {} : { truncation: setting.truncation }),
    ...(setting.labels.rows === null ? {} : { label: setting.labels.rows }),
  };
}

/** What is the same for the same pixels of one crossing. */
export function crossingKey(setting, row, column) {
  const said = (axis, source) => sourceText({ own: headerOf(setting, axis, source) });
  return `${said("rows", row)}|${said("columns", column)}|${setting.layers.join("+")}`;
}

/** One source, or the seeds of a range, as people write them. */
function readRange(text) {
  const [, first, last] = /^(\d+)-(\d+)$/.exec(text) ?? [];
  if (!first) return [readSource(text)];
  const count = Math.min(MOST, Number(last) - Number(first) + 1);
  return Array.from({ length: Math.max(0, count) }, (_, n) => readSource(String(Number(first) + n)));
}

function readSources(text, otherwise) {
  const read = (text ?? "").split(",").flatMap(readRange).filter((source) => source !== null);
  return read.length ? read.slice(0, MOST) : otherwise.map((seed) => ({ seed }));
}
