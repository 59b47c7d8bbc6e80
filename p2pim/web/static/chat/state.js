// @ts-check
/** What the page knows, and who wants to hear when it changes. Decisions are in `reduce.js`. */

/**
 * @typedef {{user: string, status: string, relation: string, devices: any[], route: string | null, address: string, rtt_ms: number | null}} Person
 * @typedef {{group: string, topic: string, members: {user: string, role: string}[]}} Group
 * @typedef {{user: string, unread: number, last: any | null}} Conversation
 * @typedef {{user: string, kind: string, address: string, rtt_ms: number | null, same_lan: boolean, reasons: {rung: string, reason: string}[]}} Route
 */

export class State {
  constructor() {
    /** @type {{user: string, device: string, status: string, chosen: string, connected: boolean, address: string, server?: string} | null} */
    this.me = null;
    /** By user. @type {Map<string, Person>} */
    this.people = new Map();
    /** By "#name". @type {Map<string, Group>} */
    this.groups = new Map();
    /** By user or "#name". @type {Map<string, Conversation>} */
    this.conversations = new Map();
    /** By user: the best way to them. @type {Map<string, Route>} */
    this.routes = new Map();
    /** What `conversation` told of those that were opened. @type {Map<string, any>} */
    this.details = new Map();
    /** By user or "#name": who is writing there, and until when (ms). @type {Map<string, Map<string, number>>} */
    this.typing = new Map();
    /** The open conversation: a user, "#group", or null. @type {string | null} */
    this.current = null;
    /** Of the agent with its server: "up", "down" (it tries again) or "out" (for good). */
    this.server = { state: "up", reason: "" };
    /** Whether the agent answers: "up" or "gone". */
    this.agent = "up";

    this.listeners = new Map();
    this.changed = new Set();
  }

  /**
   * Hear of changes of a part ("people", "groups", "conversations", "routes", "current", "me", "typing", "server",
   * "agent", "details"), a microtask after they were made and once for many. Gives what ends it.
   * @param {string} part @param {() => void} listener
   */
  on(part, listener) {
    const set = this.listeners.get(part) ?? new Set();
    this.listeners.set(part, set.add(listener));
    return () => set.delete(listener);
  }

  /** Say that these parts have changed. @param {Iterable<string>} parts */
  touch(...parts) {
    if (this.changed.size === 0 && parts.length > 0) queueMicrotask(() => this.#tell());
    for (const part of parts) this.changed.add(part);
  }

  /** Open a conversation; null: none. @param {string | null} user */
  open(user) {
    if (user === this.current) return;
    this.current = user;
    this.touch("current");
  }

  #tell() {
    const parts = [...this.changed];
    this.changed.clear();
    const told = new Set();
    for (const part of parts) {
      for (const listener of this.listeners.get(part) ?? []) {
        if (told.has(listener)) continue;
        told.add(listener);
        try {
          listener();
        } catch (error) {
          console.error(error);
        }
      }
    }
  }
}
