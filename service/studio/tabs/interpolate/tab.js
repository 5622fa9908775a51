import { html } from "../../core/lit.js";
import { Tab } from "../../core/tab.js";

export default class extends Tab {
  template() {
    return html`<h1>Interpolate</h1>`;
  }
}
