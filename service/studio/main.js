/** The studio: its frame, and the tab that the URL names. */

import { html, nothing, render } from "./core/lit.js";
import { Api, ROOT } from "./core/api.js";
import { Connection } from "./core/connection.js";
import { Favourites } from "./core/favourites.js";
import { Models } from "./core/models.js";
import { Pictures } from "./core/pictures.js";
import { readView } from "./core/view.js";
import { icon } from "./components/icons.js";
import { askForKey } from "./components/key-dialog.js";
import { nextTheme, restoreTheme, theme } from "./components/theme.js";
import { openPicture } from "./components/picture.js";

const TABS = [
  { id: "generate", title: "Generate" },
  { id: "interpolate", title: "Interpolate" },
  { id: "mix", title: "Mix" },
  { id: "edit", title: "Edit" },
  { id: "translate", title: "Translate" },
  { id: "upscale", title: "Upscale" },
  { id: "jobs", title: "Jobs" },
  { id: "models", title: "Models" },
  { id: "verify", title: "Verify" },
  { id: "status", title: "Status" },
];

/** What the tabs share. */
export class Studio {
  api = new Api(async (problem) => (await askForKey({ problem, known: this.api.hasKey })) ?? "");
  connection = new Connection(this.api);
  models = new Models(this.api);
  favourites = new Favourites();
  pictures = new Pictures(this.api);

  /** Tells a screen reader something that the eye sees anyway. */
  announce(text) {
    document.getElementById("announcements").textContent = text;
  }

  /** See `components/picture.js`. */
  openPicture(options) {
    openPicture(options);
  }
}

class Frame {
  #tab = null;
  #began = false; // whether the tab got what it needs to begin
  #left = new Map(); // the hash under which each tab was left
  #opening = 0;

  constructor() {
    this.studio = new Studio();
    const { api, connection } = this.studio;
    addEventListener("hashchange", ({ oldURL }) => {
      this.#leave(new URL(oldURL).hash); // by a link within a tab, too
      this.open();
    });
    api.addEventListener("key", () => {
      this.#drawTools();
      this.#beginAgain();
    });
    connection.addEventListener("change", () => this.#drawConnection());
    connection.addEventListener("back", () => {
      this.studio.models.load().catch(() => {}); // whatever uses them says so if that fails as well
      this.#beginAgain();
    });
    document.getElementById("skip").addEventListener("click", (event) => {
      event.preventDefault(); // the hash is the view
      document.getElementById("content").focus();
    });
    this.#drawTools();
    this.open();
  }

  /** Opens the tab that the URL names, the first if it names none. */
  async open() {
    const { tab } = readView();
    const wanted = TABS.find(({ id }) => id === tab) ?? TABS[0];
    if (this.#tab?.view.tab === wanted.id) {
      this.#tab.changed();
      return;
    }
    const turn = ++this.#opening;
    this.#tab?.stop();
    this.#tab = null;
    if (tab !== wanted.id) history.replaceState(null, "", `#${wanted.id}`);
    this.#drawTabs(wanted.id);
    document.title = `${wanted.title} · ganserve studio`;
    const main = document.getElementById("content");
    const root = document.createElement("div");
    root.className = `tab ${wanted.id}`;
    main.replaceChildren(root);
    try {
      const { default: Tab } = await import(`./tabs/${wanted.id}/tab.js`);
      await Promise.all((Tab.styles ?? []).map((name) => styled(new URL(`./tabs/${wanted.id}/${name}`, import.meta.url))));
      if (turn !== this.#opening) return;
      this.#tab = new Tab(wanted.id, root, this.studio);
      this.#began = false;
      this.#tab.update();
      await this.#tab.attempt(async () => {
        await this.#tab.start();
        if (turn === this.#opening) this.#began = true;
      });
    } catch (error) {
      if (turn !== this.#opening) return;
      console.warn(error);
      render(
        html`<section class="notice bad" role="alert">
          <p><strong>This part of the page did not arrive.</strong> The server may be away.</p>
          <p class="row"><button type="button" @click=${() => location.reload()}>Load the page again</button></p>
        </section>`,
        root,
      );
    }
  }

  /** A tab that could not begin, for want of a key or of a server, begins anew; others lose nothing. */
  #beginAgain() {
    if (this.#tab === null || this.#began || this.#tab.problem === null) return;
    this.#tab.stop();
    this.#tab = null;
    this.open();
  }

  #drawTabs(current) {
    render(
      html`<ul>
        ${TABS.map(
          ({ id, title }) => html`<li>
            <a href=${`#${id}`} @click=${(event) => this.#goTo(event, id)}
              aria-current=${id === current ? "page" : nothing}>${title}</a>
          </li>`,
        )}
      </ul>`,
      document.getElementById("tabs"),
    );
    document.querySelector("#tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** Back to where the tab was left, so that going to another loses nothing. */
  #goTo(event, id) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (this.#tab?.view.tab === id) return;
    location.hash = this.#left.get(id) ?? `#${id}`;
  }

  #leave(hash) {
    if (this.#tab && readView(hash).tab === this.#tab.view.tab) this.#left.set(this.#tab.view.tab, hash);
  }

  #drawTools() {
    const { api } = this.studio;
    const enterKey = async () => {
      const key = await askForKey({ known: api.hasKey });
      if (key !== null) api.setKey(key);
    };
    const changeTheme = () => {
      nextTheme();
      this.#drawTools();
    };
    render(
      html`<button type="button" class="quiet" @click=${changeTheme}
          aria-label=${`Colours: ${theme()}; change`} title=${`Colours: ${theme()}`}>${icon(theme())}</button>
        <button type="button" class="quiet" id="key-button" @click=${enterKey}
          aria-label=${api.hasKey ? "API key: entered; change" : "API key: none; enter one"}
          title="API key">${icon(api.hasKey ? "key-entered" : "key")}</button>`,
      document.getElementById("tools"),
    );
  }

  #drawConnection() {
    const { connection } = this.studio;
    const element = document.getElementById("connection");
    const left = connection.waiting ? Math.ceil((connection.waiting.until - performance.now()) / 1000) : 0;
    const text = {
      unreachable: "The server cannot be reached. Trying again…",
      "not-ready": "The server is there, but serves no model at the moment. Waiting for it…",
      ready: left > 0 ? `${connection.waiting.problem.title}: trying again in ${left} s` : "",
    }[connection.state];
    element.textContent = text;
    element.hidden = text === "";
    if (left > 0 && connection.state === "ready") setTimeout(() => this.#drawConnection(), 250);
  }
}

const styles = new Map();

/** Loads a style sheet once; resolves when it applies. */
function styled(url) {
  if (!styles.has(url.href)) {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = url.href;
    styles.set(
      url.href,
      new Promise((resolve, reject) => {
        link.onload = resolve;
        link.onerror = () => {
          styles.delete(url.href);
          link.remove();
          reject(new Error(`no ${url.href}`));
        };
      }),
    );
    document.head.append(link);
  }
  return styles.get(url.href);
}

restoreTheme();
const frame = new Frame();
/** For the console of the browser: everything the tabs have. */
globalThis.ganserve = { studio: frame.studio, root: ROOT.href };
