// @ts-check
/** What was begun and not sent, per conversation; it outlives the page. */

const KEY = "p2pim.drafts";
/** Characters kept of one draft, and drafts kept. */
const LONGEST = 40_000;
const MOST = 50;

/** @returns {Record<string, string>} */
function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}") ?? {};
  } catch {
    return {};
  }
}

let drafts = new Map(Object.entries(read()));

/** @param {string} user @returns {string} */
export const draftOf = (user) => drafts.get(user) ?? "";

/** Keep what is being written to `user`; nothing: forget it. @param {string} user @param {string} text */
export function keepDraft(user, text) {
  if (draftOf(user) === text) return;
  drafts.delete(user);
  if (text) drafts.set(user, text.slice(0, LONGEST));
  drafts = new Map([...drafts].slice(-MOST));
  try {
    localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(drafts)));
  } catch { /* a full or forbidden store: it lives as long as the page */ }
}
