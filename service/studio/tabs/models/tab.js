import { notice } from "../../components/notice.js";
import { BlobUrls } from "../../core/files.js";
import { html, nothing, ref } from "../../core/lit.js";
import { Problem, isAbort } from "../../core/problem.js";
import { Tab } from "../../core/tab.js";
import { Control } from "./control.js";
import { controls } from "./control-buttons.js";
import { details } from "./details.js";
import { list } from "./list.js";
import { Samples, idOf } from "./samples.js";
import { measure, seen } from "./speed.js";

/** What was timed, by `idOf`; kept while the page is. */
const timings = new Map();

const CHECK_SECONDS = 2;

/** The models of this server: what they make, how well, how fast, under which licence; and loading them. */
export default class extends Tab {
  static styles = ["tab.css"];

  #urls = new BlobUrls();
  #samples = new Samples({ studio: this.studio, signal: this.signal, update: () => this.update() });
  #control = new Control(this);
  #seen = null;
  #closed = ""; // why there is nothing that the server has counted
  #measuring = null;
  #there = false; // whether the list has arrived
  #later = 0; // when the list is asked for again, since it will change
  #eye = new IntersectionObserver((entries) => this.#seenCards(entries), { rootMargin: "200px" });
  #near = new Set(); // names of the models whose cards are on screen, or nearly
  #watch = (element) => element && this.#eye.observe(element);

  async start() {
    this.on(this.studio.models, "change", () => this.#changed());
    this.on(this.studio.connection, "back", () => this.attempt(() => this.#ask()));
    this.on(this.studio.api, "key", () => this.attempt(() => this.#ask()));
    this.on(document, "visibilitychange", () => {
      if (!document.hidden && this.#there) this.attempt(() => this.#askAgain());
    });
    this.signal.addEventListener("abort", () => {
      clearTimeout(this.#later);
      this.#eye.disconnect();
      this.#urls.clear();
      this.#measuring?.stop.abort();
    });
    await this.#ask();
  }

  changed() {
    this.#changed();
  }

  async #ask() {
    await this.studio.models.load(this.signal);
    this.#there = true;
    this.clearProblem();
    this.#changed();
    // With a key that is good by now, so that nothing below asks for one.
    await Promise.all([this.#control.learn(), this.#askSeen()]);
  }

  /** What others did meanwhile, and what came of checks. */
  async #askAgain() {
    clearTimeout(this.#later);
    this.#later = 0;
    await this.studio.models.reload(this.signal);
    this.#changed();
  }

  async #askSeen() {
    try {
      const answer = await this.studio.api.call("metrics", { accept: "text/plain", signal: this.signal });
      this.#seen = seen(await answer.text());
      this.#closed = "";
    } catch (error) {
      if (isAbort(error)) throw error;
      this.#seen = null;
      this.#closed = `What this server has counted is not told: ${error.message}`;
    }
    this.update();
  }

  #changed() {
    this.#draw();
    const checked = this.studio.models.all.some(({ state, newer }) => [state, newer?.state].includes("CHECKING"));
    if (checked && !this.#later && !this.signal.aborted) {
      this.#later = setTimeout(() => this.attempt(() => this.#askAgain()), CHECK_SECONDS * 1000);
    }
    this.update();
  }

  #seenCards(entries) {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) this.#near.add(target.dataset.model);
      else this.#near.delete(target.dataset.model);
    }
    this.#draw();
  }

  /** Draws what is on screen, or nearly: again when it has other weights, or takes traffic by now. */
  #draw() {
    const names = this.#shown ? [this.#shown.name] : [...this.#near];
    for (const name of names) {
      const card = this.studio.models.named(name);
      if (card) this.#samples.draw(card);
    }
  }

  /** The model that the URL names; undefined if it names none. */
  get #shown() {
    const name = this.view.params.get("model");
    return this.#all.find((card) => card.name === name);
  }

  get #all() {
    const all = [...this.studio.models.all, ...this.#control.unloaded];
    return all.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  template() {
    if (!this.#there) return html`<h1>Models</h1>${this.problem ? nothing : html`<p>Asking the server…</p>`}`;
    const name = this.view.params.get("model");
    if (name === null) return this.#list();
    const card = this.#shown;
    return card ? details(card, this.#contextOf(card)) : this.#missing(name);
  }

  #missing(name) {
    const problem = new Problem({ type: "/problems/model-not-found", title: `There is no model “${name}” now` });
    return html`<h1>Models</h1>${notice(problem)}<p><a href="#models">All models</a></p>`;
  }

  #list() {
    const { params } = this.view;
    const [kind, text] = [params.get("kind") ?? "", params.get("q") ?? ""];
    const filter = (values) => {
      this.view.replace({ kind, q: text, ...values });
      this.update();
    };
    const contextOf = (card) => this.#contextOf(card);
    return list({ all: this.#all, kind, text, filter, control: this.#control, contextOf });
  }

  #contextOf(card) {
    return {
      sheet: this.#samples.of(card),
      url: (blob) => this.#urls.of(blob),
      again: () => this.#samples.draw(card, true),
      seen: this.#seen,
      closed: this.#closed,
      timed: timings.get(idOf(card)) ?? null,
      watch: ref(this.#watch),
      control: controls(this.#control, card, this.view.params.has("model")),
      measure: () => this.#measure(card),
      measuring: this.#measuring?.id === idOf(card) ? this.#measuring : null,
      stop: () => this.#measuring?.stop.abort(),
      hasKey: this.studio.api.hasKey,
      announce: (text) => this.studio.announce(text),
    };
  }

  async #measure(card) {
    if (this.#measuring) return;
    const stop = new AbortController();
    this.#measuring = { id: idOf(card), done: 0, all: 1, stop };
    this.clearProblem();
    this.update();
    const progress = (done, all) => {
      Object.assign(this.#measuring, { done, all });
      this.update();
    };
    try {
      timings.set(idOf(card), await measure(this.studio.api, card, { signal: stop.signal, progress }));
      this.studio.announce(`${card.name} is measured`);
      await this.#askSeen();
    } catch (error) {
      this.fail(error);
    } finally {
      this.#measuring = null;
      this.update();
    }
  }
}
