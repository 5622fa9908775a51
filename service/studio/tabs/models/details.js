/** All that is known of one model. */

import { copyAs } from "../../components/copy-as.js";
import { progress } from "../../components/controls.js";
import { html, nothing } from "../../core/lit.js";
import { cliOf, curlOf, python } from "../../core/copy-as.js";
import { ROOT } from "../../core/api.js";
import { counted, number } from "../../core/text.js";
import { figuresOf } from "./metrics.js";
import { badges, datasetName, licence, seenText, sheetOf, time, useOf } from "./parts.js";
import { median } from "./speed.js";

/**
 * @param {object} card
 * @param {object} context as a card's, and:
 * @param {() => void} context.measure
 * @param {{done: number, all: number}|null} context.measuring
 * @param {() => void} context.stop measuring
 * @param {string} context.closed why there is nothing that the server has counted; "" if there is
 * @param {boolean} context.hasKey
 * @param {(text: string) => void} context.announce
 */
export function details(card, context) {
  const use = useOf(card);
  return html`<p><a href="#models" id="all-models">← All models</a></p>
    <div class="split model-page" data-model=${card.name}>
      <div class="stage">
        ${sheetOf(card, context.sheet, context.url, context.again)}
        <p class="row">
          ${card.state === "READY" ? html`<a class="button primary" href=${use.href}>${use.text}</a>` : nothing}
          ${context.control}
        </p>
      </div>
      <div class="stage">
        <div><h1>${card.title ?? card.name}</h1><code>${card.name}</code></div>
        ${badges(card)} ${warnings(card)} ${identity(card)} ${speed(card, context)} ${figures(card)} ${dataset(card)}
        ${copyAs({ commands: commandsOf(card, context.hasKey), announce: context.announce })}
        <details><summary>The whole card, as the API has it</summary>
          <pre tabindex="0" aria-label="The card as JSON">${JSON.stringify(card, null, 1)}</pre></details>
      </div>
    </div>`;
}

function warnings(card) {
  const { notice, newer, reason } = card;
  return html`${notice ? html`<p class="notice" data-notice>${notice}</p>` : nothing}
    ${reason ? html`<p class="notice bad">${reason}</p>` : nothing}
    ${newer
      ? html`<p class="notice bad"><strong>Version ${newer.version} is ${newer.state.toLowerCase()}.</strong>
          ${newer.reason} Version ${card.version} serves in its stead.</p>`
      : nothing}`;
}

function identity(card) {
  const from = card.imported_from;
  const command = card.training_command === "none" ? undefined : card.training_command;
  const rows = [
    ["Licence", licence(card)],
    ["Commercial use", { true: "allowed by the licence", false: "not allowed by the licence" }[card.commercial_use]],
    ["Version", card.version],
    ["Digest", html`<code class="digest">${card.digest}</code>`],
    ["Pixels", goldenText(card.golden)],
    ["Parameters", typeof card.parameters === "number" ? number(card.parameters) : undefined],
    ["Classes", card.classes?.length ? card.classes.join(", ") : undefined],
    ["Directions", card.directions?.length ? counted(card.directions.length, "direction") : undefined],
    ["Takes", card.transforms?.length ? card.transforms.join(" and ") : undefined],
    ["Sizes", sizes(card)],
    ["Imported from", from ? html`${from.file} (${from.format}${from.part ? `, ${from.part}` : ""})` : undefined],
    ["Trained by", command ? html`<code>${command}</code>` : undefined],
    ["Training", trainingText(card.training)],
  ];
  return facts(rows);
}

/** How well the pixels that are served agree with the card. */
function goldenText(golden) {
  return {
    exact: "as the card says, to the last bit",
    close: "close to what the card says: another runtime or processor",
    unchecked: "not checked against the card",
  }[golden?.state];
}

const facts = (rows) => html`<dl class="facts">
  ${rows.map(([name, value]) => (value ? html`<dt>${name}</dt><dd>${value}</dd>` : nothing))}
</dl>`;

function sizes({ kind, min_size: least, max_size: most, tileable }) {
  if (kind === "generator" || !most) return undefined;
  const whole = `${least ?? 1} to ${most} pixels a side in one piece`;
  return tileable ? `${whole}, larger ones in tiles with the same result` : whole;
}

function trainingText(training) {
  if (!training) return undefined;
  const { kimg, minutes, device } = training;
  const parts = [kimg && `${number(kimg)} thousand images`, minutes && `${number(minutes)} minutes`, device];
  return parts.filter(Boolean).join(", ") || undefined;
}

function speed(card, { seen, closed, timed, measure, measuring, stop }) {
  const { done, all } = measuring ?? {};
  return html`<section class="part" id="speed">
    <h2>Speed on this server</h2>
    ${timed ? timings(timed) : nothing}
    <p id="seen">${closed || seenText(seen, card.name)}</p>
    ${card.state !== "READY"
      ? nothing
      : measuring
        ? html`<div class="row">
            ${progress({ label: `Call ${done} of ${all}`, value: done, max: all })}
            <button type="button" class="quiet" @click=${stop}>Cancel</button></div>`
        : html`<p class="row">
            <button type="button" id="measure" @click=${measure}>${timed ? "Measure again" : "Measure"}</button>
            <small>Times real calls from this page, one after the other, with whatever load there is.</small></p>`}
  </section>`;
}

const head = (...titles) => html`<thead><tr>${titles.map((title) => html`<th scope="col">${title}</th>`)}</tr></thead>`;

function timings(timed) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="What was timed"><table id="timed">
    ${head("A call for", "p50", "fastest", "slowest", "in Triton, p50", "calls", "images a second")}
    <tbody>${timed.map(
      ({ what, calls, images, seconds, inTriton }) => html`<tr>
        <th scope="row">${what}</th>
        <td>${time(median(seconds))}</td><td>${time(seconds[0])}</td><td>${time(seconds.at(-1))}</td>
        <td>${inTriton.length ? time(median(inTriton)) : "–"}</td><td>${calls}</td>
        <td>${number(Number((images / median(seconds)).toPrecision(3)))}</td>
      </tr>`,
    )}</tbody>
  </table></div>
  <p><small>PNG, the way to this page and back included; a first call of each kind was not counted.</small></p>`;
}

function figures(card) {
  const all = figuresOf(card);
  if (!all.length) {
    return html`<section class="part"><h2>Metrics</h2><p><small>The card has none.</small></p></section>`;
  }
  const { features, feature_distance: distance, protocol } = card.metrics;
  return html`<section class="part" id="metrics">
    <h2>Metrics</h2>
    <div class="scroll" tabindex="0" role="region" aria-label="Metrics"><table>
      ${head("Figure", "Value", "Better", "To compare")}
      <tbody>${all.map(
        ({ id, name, text, better, about, beside }) => html`<tr data-figure=${id}>
          <th scope="row">${name}${about ? html`<br><small>${about}</small>` : nothing}</th>
          <td><b>${text}</b></td>
          <td>${better === "lower" ? "↓ lower" : better === "higher" ? "↑ higher" : "–"}</td>
          <td>${beside.map((one) => html`<div>${one.text} <small>${one.name}</small></div>`)}</td>
        </tr>`,
      )}</tbody>
    </table></div>
    ${[features, distance, protocol].filter(Boolean).map((text) => html`<p><small>${text}</small></p>`)}
    <p><small>Figures compare with those of the same data and features only.</small></p>
  </section>`;
}

function dataset(card) {
  const data = card.dataset;
  if (!data || typeof data !== "object") {
    return html`<section class="part"><h2>Data</h2><p>${datasetName(card)}</p></section>`;
  }
  const counts = Object.entries(data.counts ?? {}).map(([name, count]) => `${number(count)} ${name}`);
  const rows = [
    ["Licence", data.licence],
    ["Credit", data.attribution],
    ["Images", counts.join(", ") || undefined],
    ["Split", data.split || undefined],
    ["Processing", data.processing || undefined],
    ["Sources", data.sources?.map(({ name }) => name).join(", ")],
  ];
  return html`<section class="part" id="data">
    <h2>Data: ${datasetName(card)}</h2>
    ${facts(rows)}
    ${data.files?.length ? credits(data.files) : nothing}
  </section>`;
}

function credits(files) {
  return html`<details><summary>${counted(files.length, "file")}, each with its licence and author</summary>
    <ul class="credits" tabindex="0" aria-label="Files of the data">
      ${files.map(
        ({ file, licence: terms, attribution }) =>
          html`<li>${file} <small>${[terms, attribution].filter(Boolean).join(", ")}</small></li>`,
      )}
    </ul></details>`;
}

function commandsOf({ name }, key) {
  const client = key ? 'Client(URL, key=os.environ["GANSERVE_API_KEY"])' : "Client(URL)";
  return {
    curl: () => curlOf({ path: `v1/models/${encodeURIComponent(name)}`, key }),
    Python: () =>
      [
        ...(key ? ["import os"] : []),
        "from service.client import Client",
        "",
        `URL = ${python(ROOT.href.replace(/\/$/, ""))}`,
        `with ${client} as client:`,
        `    print(client.model(${python(name)}).card)`,
      ].join("\n"),
    CLI: () => cliOf(["models", name, "--json"]),
  };
}
