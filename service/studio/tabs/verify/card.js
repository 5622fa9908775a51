/** One file and what was found about it. */

import { html, nothing } from "../../core/lit.js";
import { bytes, counted } from "../../core/text.js";
import { working } from "../../components/controls.js";
import { copyAs } from "../../components/copy-as.js";
import { notice } from "../../components/notice.js";
import { commandsOf } from "./commands.js";
import { factsOf, sourceType, viewOf } from "./recipe.js";
import { findings, headline, oddities } from "./verdict.js";

const MARKS = { yes: ["✓", "holds"], no: ["✗", "does not hold"], unknown: ["–", "cannot be told"] };

/**
 * @param {import("./check.js").Check} check
 * @param {object} context
 * @param {string} context.url of the file, for `<img>`
 * @param {object} [context.card] of the model that made it, if that is served
 * @param {boolean} context.key whether the server asks for a key
 * @param {(check: import("./check.js").Check) => void} context.again
 * @param {(check: import("./check.js").Check) => void} context.remove
 * @param {(check: import("./check.js").Check, file: File) => void} context.from
 * @param {(text: string) => void} context.announce
 */
export function card(check, context) {
  const { file, report } = check;
  return html`<article class="card looked-at" data-state=${check.state} data-verdict=${report?.verdict ?? nothing}
      aria-label=${file.name}>
    ${thumbnail(check, context)}
    <div class="what">
      ${report ? verdict(report) : html`<h2>${file.name}</h2>`}
      ${report ? html`<p class="file">${file.name} · ${about(report, file)}</p>` : nothing}
      ${state(check, context)}
      ${report ? html`
        <ul class="findings">${findings(report).map(finding)}</ul>
        ${report.found ? html`<h3>What made it, as it says</h3>
          <dl class="facts">${factsOf(report).map(fact)}</dl>` : nothing}
        ${odd(report)}
        ${actions(check, context)}
        <details><summary>The whole answer</summary>
          <pre tabindex="0" aria-label="The whole answer">${JSON.stringify(report, null, 2)}</pre></details>` : nothing}
      ${copyAs({
        commands: commandsOf(check, report?.reproduced.performed ?? false, context.key),
        announce: context.announce,
      })}
    </div>
    <button type="button" class="quiet remove" aria-label=${`Remove ${file.name}`} title="Remove"
      @click=${() => context.remove(check)}>×</button>
  </article>`;
}

function thumbnail({ file, report }, { url }) {
  const small = report && Math.max(report.image.width, report.image.height) <= 128;
  const gone = (event) => (event.target.hidden = true); // a kind that the browser does not show
  return html`<div class="thumbnail"><img class=${small ? "pixels" : ""} src=${url} alt=${`The file ${file.name}`}
    @error=${gone}></div>`;
}

function verdict(report) {
  const { tone, icon, title, text } = headline(report);
  return html`<h2 class=${`verdict ${tone}`}><span class="icon" aria-hidden="true">${icon}</span>${title}</h2>
    <p>${text}</p>`;
}

function about({ image, digital_source_type: type }, file) {
  const frames = image.frames > 1 ? `, ${counted(image.frames, "frame")}` : "";
  const source = type ? `, marked as ${sourceType(type)}` : "";
  return `${image.format}, ${image.width} × ${image.height}${frames}, ${bytes(file.size)}${source}`;
}

function state(check, { remove, again }) {
  const cancel = () => remove(check);
  if (check.state === "waiting") return html`<p class="progress">Waiting for its turn</p>`;
  if (check.state === "looking") return working("Looking at it", cancel);
  if (check.state === "again") return working("Making it again, to compare", cancel);
  const retry = check.problem?.passing ? () => again(check) : undefined;
  return check.problem ? notice(check.problem, { retry }) : nothing;
}

const fact = ([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`;

function finding({ name, state: found, text }) {
  const [mark, words] = MARKS[found];
  return html`<li class=${found}><span class="mark" role="img" aria-label=${words}>${mark}</span>
    <span><strong>${name}.</strong> ${text}</span></li>`;
}

function odd(report) {
  const all = oddities(report);
  if (!all.length) return nothing;
  return html`<h3>What else was noticed</h3>
    <ul class="odd">${all.map((text) => html`<li>${text}</li>`)}</ul>`;
}

function actions(check, { card: model, again, from }) {
  const view = check.report.found ? viewOf(check.report, model) : null;
  const chosen = (event) => event.target.files[0] && from(check, event.target.files[0]);
  const id = `source-${check.file.name.replace(/\W+/g, "-")}-${check.file.size}`;
  return html`<div class="row actions">
      ${view ? html`<a class="button" href=${view.hash}>Open in ${view.tab}</a>` : nothing}
      ${check.canBeMadeAgain && !check.working
        ? html`<button type="button" @click=${() => again(check)}>Make it again and compare</button>`
        : nothing}
    </div>
    ${check.wantsSource
      ? html`<div class="field source"><label for=${id}>The picture it was made of, to make it again and compare</label>
          <input id=${id} type="file" accept="image/*" @change=${chosen}></div>`
      : nothing}`;
}
