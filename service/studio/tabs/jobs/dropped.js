/** What was dropped or chosen, as files with their paths; folders are looked into. */

const IMAGES = /\.(png|jpe?g|jpe|webp|gif|bmp|tiff?|pnm|ppm|pgm)$/i;
const ARCHIVE = /\.zip$/i;
const CLUTTER = /(^|\/)(\.[^/]*|Thumbs\.db|desktop\.ini|__MACOSX)(\/|$)/i;

/**
 * @typedef {object} Found
 * @property {File} file
 * @property {string} path with the folders it was dropped in
 */

/**
 * The files of a drop. What it holds is gone when the event is over, so this is called within it.
 *
 * @param {DataTransfer} transfer
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<Found>}
 */
function filesOfDrop(transfer, signal) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.length) return below(entries, signal);
  return chosen([...transfer.files]);
}

/** The same as `Draft.take` wants it. */
export function filesIn(transfer) {
  const off = new AbortController();
  const files = filesOfDrop(transfer, off.signal);
  return (signal) => {
    signal.addEventListener("abort", () => off.abort());
    return files;
  };
}

/** The files of an `<input>`, of a folder as well. */
export async function* chosen(files) {
  for (const file of files) yield { file, path: file.webkitRelativePath || file.name };
}

async function* below(entries, signal) {
  for (const entry of entries) {
    signal.throwIfAborted();
    const path = entry.fullPath.replace(/^\//, "");
    if (entry.isFile) yield { file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path };
    else yield* below(await entriesOf(entry), signal);
  }
}

/** All entries of a folder, which a browser gives a hundred at a time. */
async function entriesOf(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return all.sort((one, other) => one.name.localeCompare(other.name, "en", { numeric: true }));
    all.push(...some);
  }
}

/**
 * What becomes of a file.
 *
 * @param {Found} found
 * @param {number} largest bytes that an image may have
 * @returns {{as: "image"|"zip"|"clutter"|"out", why?: string}}
 */
export function sorted({ file, path }, largest) {
  if (CLUTTER.test(path)) return { as: "clutter" };
  if (ARCHIVE.test(path)) return file.size ? { as: "zip" } : { as: "out", why: "it is empty" };
  if (!IMAGES.test(path)) return { as: "out", why: "it is no image of a kind that is read" };
  if (!file.size) return { as: "out", why: "it is empty" };
  if (file.size > largest) return { as: "out", why: "it is larger than the server takes" };
  return { as: "image" };
}
