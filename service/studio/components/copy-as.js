/** "Copy as": what is on screen as a command. */

import { html } from "../core/lit.js";

/**
 * @param {object} options
 * @param {Record<string, () => string>} options.commands by how they are called, as {curl, Python, CLI}
 * @param {(text: string) => void} options.announce tells a screen reader
 * @param {string} [options.label] what it is called where a page has several
 * @returns a menu; each command is shown, so that it can be read and selected where nothing can be copied
 */
export function copyAs({ commands, announce, label = "Copy as curl, Python or CLI" }) {
  const copy = async (event, name, text) => {
    const button = event.currentTarget;
    try {
      await navigator.clipboard.writeText(text);
      announce(`The ${name} command is copied`);
      button.textContent = "Copied";
    } catch {
      announce("This browser lets no page copy; select the text");
      button.textContent = "Select the text";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  };
  return html`<details class="copy-as">
    <summary>${label}</summary>
    ${Object.entries(commands).map(([name, command]) => {
      const text = command();
      return html`<figure data-command=${name}>
        <figcaption>${name}
          <button type="button" class="quiet" aria-label=${`Copy as ${name}`} @click=${(event) => copy(event, name, text)}>Copy</button>
        </figcaption>
        <pre tabindex="0" aria-label=${`${name} command`}><code>${text}</code></pre>
      </figure>`;
    })}
  </details>`;
}
