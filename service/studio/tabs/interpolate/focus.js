/** Where the focus goes when what had it is no longer there. */

/**
 * Focuses the first of these that is there, once what has changed is drawn.
 *
 * @param {import("../../core/tab.js").Tab} tab
 * @param {...string} selectors
 */
export function focusSoon(tab, ...selectors) {
  requestAnimationFrame(() => selectors.map((one) => tab.root.querySelector(one)).find(Boolean)?.focus());
}
