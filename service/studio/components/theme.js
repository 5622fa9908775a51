/** Light or dark: as the system has it until the user chooses. */

const PLACE = "ganserve.theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };

/** "auto", "light" or "dark". */
export function theme() {
  return document.documentElement.dataset.theme ?? "auto";
}

export function restoreTheme() {
  try {
    apply(localStorage.getItem(PLACE) ?? "auto");
  } catch {
    apply("auto");
  }
}

export function nextTheme() {
  apply(NEXT[theme()]);
  try {
    localStorage.setItem(PLACE, theme());
  } catch {
    // It lasts until the page is closed.
  }
}

function apply(name) {
  if (name === "light" || name === "dark") document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
}
