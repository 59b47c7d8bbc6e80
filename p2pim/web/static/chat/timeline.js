// @ts-check
/** What stands between the messages of a conversation without being one: offered files, say. */

/** @typedef {{id: string, at: number, render: () => HTMLElement}} Extra  `at` in milliseconds since 1970 */

export class Timeline {
  constructor() {
    /** @type {Map<string, Map<string, Extra>>} */
    this.byUser = new Map();
    /** @type {Set<(user: string) => void>} */
    this.listeners = new Set();
  }

  /** Place (or replace) something in the conversation with `user`. `render` is called whenever it comes into view.
   * @param {string} user @param {Extra} extra */
  put(user, extra) {
    const extras = this.byUser.get(user) ?? new Map();
    this.byUser.set(user, extras.set(extra.id, extra));
    this.#tell(user);
  }

  /** @param {string} user @param {string} id */
  remove(user, id) {
    if (this.byUser.get(user)?.delete(id)) this.#tell(user);
  }

  /** All of a conversation, by time. @param {string} user @returns {Extra[]} */
  of(user) {
    return [...(this.byUser.get(user)?.values() ?? [])].sort((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1));
  }

  /** Hear of which conversation has changed. @param {(user: string) => void} listener */
  on(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** @param {string} user */
  #tell(user) {
    for (const listener of this.listeners) listener(user);
  }
}
