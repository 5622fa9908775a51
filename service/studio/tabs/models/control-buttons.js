/** What admins press to load and unload models; others read why they cannot. */

import { working } from "../../components/controls.js";
import { html, nothing } from "../../core/lit.js";

/**
 * Of one model.
 *
 * @param {import("./control.js").Control} control
 * @param {object} card
 * @param {boolean} [all] those that are needed now and then as well
 */
export function controls(control, card, all = false) {
  const { name } = card;
  const verb = control.busy.get(name);
  if (verb) return working(verb === "load" ? `Loading ${name}` : `Unloading ${name}, once its calls are answered`);
  if (!control.allowed) return nothing;
  const asked = (asking) => () => {
    control.asking = asking;
    control.tab.update();
  };
  if (card.state === "UNLOADED") {
    return html`<button type="button" class="load" @click=${() => control.load(name)} aria-label=${`Load ${name}`}>
      Load</button>`;
  }
  if (control.asking === name) {
    return html`<span class="row sure" role="group" aria-label=${`Unload ${name}?`}>
      <small>Nobody can use it until it is loaded again.</small>
      <button type="button" class="really" @click=${() => control.unload(name)}>Unload ${name}</button>
      <button type="button" class="quiet" @click=${asked(null)}>Keep it</button></span>`;
  }
  return html`<button type="button" class="quiet unload" @click=${asked(name)} aria-label=${`Unload ${name}`}>
      Unload…</button>
    ${all || card.state !== "READY" || card.newer
      ? html`<button type="button" class="quiet load" @click=${() => control.load(name)}
          title="Loads what is in Triton's repository now">Load anew</button>`
      : nothing}`;
}

/** For a model that is not served, so that no card of it is there. */
export function loadByName(control) {
  if (!control.allowed) return nothing;
  const submit = (event) => {
    event.preventDefault();
    const name = event.target.elements.name.value.trim();
    if (name) control.load(name).then(() => control.studio.models.named(name) && event.target.reset());
  };
  const busy = [...control.busy].filter(([name, verb]) => verb === "load" && !control.studio.models.named(name));
  return html`<details class="load-by-name">
    <summary>Load another…</summary>
    <form class="row" @submit=${submit}>
      <div class="field"><label for="load-name">Name in Triton's repository</label>
        <input id="load-name" name="name" required autocomplete="off" spellcheck="false" maxlength="64"></div>
      <button>Load</button>
      ${busy.map(([name]) => working(`Loading ${name}`))}
    </form>
  </details>`;
}
