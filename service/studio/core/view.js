/**
 * What is on screen, as a URL: `#tab?name=value&…`. Whoever opens it sees the same, so everything a tab shows that is
 * not a file or a result belongs there.
 */

/** @returns {{tab: string, params: URLSearchParams}} what the address bar says, or another hash */
export function readView(hash = location.hash) {
  const [tab, query = ""] = hash.slice(1).split(/\?(.*)/s);
  return { tab, params: new URLSearchParams(query) };
}

/** The hash of a view; commas and colons stay readable. */
export function hashOf(tab, params = new URLSearchParams()) {
  const query = params.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
  return `#${tab}${query ? `?${query}` : ""}`;
}

const PAUSE_SECONDS = 0.2;

/** Of one tab: its parameters in the URL. */
export class View {
  #soon = 0;

  /** @param {string} tab */
  constructor(tab) {
    this.tab = tab;
  }

  /** A copy of the parameters on screen. */
  get params() {
    const { tab, params } = readView();
    return tab === this.tab ? params : new URLSearchParams();
  }

  /**
   * Says what is on screen now, without a new entry of the history: sliders would fill it.
   *
   * @param {Record<string, string|number|null|undefined>} values those that are null, undefined or "" are left out
   */
  replace(values) {
    this.forget();
    if (readView().tab !== this.tab) return;
    const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
    const params = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
    const hash = hashOf(this.tab, params);
    if (hash !== location.hash) history.replaceState(null, "", hash);
  }

  /** Likewise, in a moment: browsers refuse to hear of every step of a slider. */
  replaceSoon(values) {
    this.forget();
    this.#soon = setTimeout(() => this.replace(values), 1000 * PAUSE_SECONDS);
  }

  /** What was to be said in a moment is not said: the tab is left, or the URL is another. */
  forget() {
    clearTimeout(this.#soon);
  }
}
