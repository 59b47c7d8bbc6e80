// @ts-check
/** What a person dropped or chose, as files with paths; folders with all that is in them, also when that is nothing. */

/** @typedef {{path: string[], file: File | null}} Entry  `path` names from the top; without a `file` an empty folder */

/** Entries that are looked at together at most: as many as a folder that is sent may have. */
export const MOST = 100_000;

export class TooMany extends Error {}

/**
 * What was dropped. To be called in the listener itself: later the browser has forgotten it.
 * @param {DataTransfer} dropped @returns {Promise<Entry[]>}
 */
export function fromDrop(dropped) {
  const items = [...dropped.items].filter((item) => item.kind === "file");
  const roots = items.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  return gather(roots);
}

/** @param {FileList | File[]} files of an <input>, or pasted @returns {Entry[]} */
export function fromFiles(files) {
  return [...files].map((file) => ({ path: (file.webkitRelativePath || file.name || "file").split("/"), file }));
}

/** @param {(FileSystemEntry | File | null)[]} roots */
async function gather(roots) {
  /** @type {Entry[]} */
  const found = [];
  for (const root of roots) {
    if (root instanceof File) found.push({ path: [root.name], file: root });
    else if (root !== null) await walk(root, [], found);
  }
  return found;
}

/** @param {FileSystemEntry} entry @param {string[]} above @param {Entry[]} found */
async function walk(entry, above, found) {
  if (found.length >= MOST) throw new TooMany();
  const path = [...above, entry.name];
  if (entry.isFile) {
    found.push({ path, file: await fileOf(/** @type {FileSystemFileEntry} */ (entry)) });
    return;
  }
  const children = await all(/** @type {FileSystemDirectoryEntry} */ (entry));
  if (children.length === 0) found.push({ path, file: null });
  for (const child of children) await walk(child, path, found);
}

/** @param {FileSystemFileEntry} entry @returns {Promise<File>} */
function fileOf(entry) {
  return new Promise((resolve, reject) => { entry.file(resolve, reject); });
}

/** All in a folder: browsers give a hundred at a time. @param {FileSystemDirectoryEntry} folder @returns {Promise<FileSystemEntry[]>} */
async function all(folder) {
  const reader = folder.createReader();
  const children = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (some.length === 0) return children;
    children.push(...some);
  }
}

/** What a person sees of it: the names at the top, with how many files and bytes are below. @param {Entry[]} entries */
export function tops(entries) {
  /** @type {Map<string, {name: string, folder: boolean, files: number, bytes: number}>} */
  const found = new Map();
  for (const { path, file } of entries) {
    const top = found.get(path[0]) ?? { name: path[0], folder: false, files: 0, bytes: 0 };
    top.folder ||= path.length > 1 || file === null;
    top.files += file ? 1 : 0;
    top.bytes += file?.size ?? 0;
    found.set(path[0], top);
  }
  return [...found.values()];
}
