// @ts-check
/** Messages of mine on their way to the agent: one after the other per conversation, shown from the first moment on. */

import { conversationOf } from "./reduce.js";

/** Bytes (UTF-8) of the longest message. */
export const LONGEST = 32 * 1024;

let count = 0;

/** @param {any} app */
export function mount(app) {
  app.outgoing = new Outgoing(app);
  byAct(app);
}

export class Outgoing {
  /** @param {any} app */
  constructor(app) {
    this.app = app;
    /** What the agent has not confirmed, or refused, by conversation. @type {Map<string, any[]>} */
    this.local = new Map();
    /** The last of each conversation's calls. @type {Map<string, Promise<any>>} */
    this.queues = new Map();
  }

  /** @param {string | null} user @returns {any[]} */
  unsent(user) {
    return user === null ? [] : this.local.get(user) ?? [];
  }

  /** Send `text` to a user or "#group". @param {string} user @param {string} text */
  send(user, text) {
    const entry = {
      key: `local-${++count}`, id: "", user, direction: "out", text, route: "", address: "", state: "sending",
      sent_at: new Date().toISOString(), received_at: null, read_at: null, ...(user.startsWith("#") ? { group: user } : {}),
    };
    this.local.set(user, [...this.unsent(user), entry]);
    this.#show(entry);
    return this.#post(entry);
  }

  /** Try a message again that was refused. @param {any} entry */
  retry(entry) {
    Object.assign(entry, { state: "sending", error: "" });
    this.app.history.redraw(entry);
    return this.#post(entry);
  }

  /** Let go of one that was refused. @param {any} entry */
  discard(entry) {
    this.#forget(entry);
    this.app.history.window.remove(entry);
    this.app.history.draw();
  }

  /** An event tells of a message written here: whether it is one of those, which gets its id. @param {any} said */
  adopt(said) {
    const mine = this.unsent(conversationOf(said)).find(({ id, text, state }) => !id && state === "sending" && text === said.text);
    if (mine) mine.id = said.id;
    return mine !== undefined;
  }

  /** @param {any} entry */
  #show(entry) {
    const { history, state } = this.app;
    state.conversations.set(entry.user, { unread: 0, ...state.conversations.get(entry.user), user: entry.user, last: entry });
    state.touch("conversations");
    if (state.current !== entry.user) return;
    history.loader.unreadFrom = "";
    if (!history.loader.add(entry)) { history.loader.toNewest(); return; }
    history.stick = true;
    history.draw();
  }

  /** @param {any} entry */
  #post(entry) {
    const turn = (this.queues.get(entry.user) ?? Promise.resolve()).then(() => this.#call(entry));
    this.queues.set(entry.user, turn);
    return turn;
  }

  /** @param {any} entry */
  async #call(entry) {
    const { api, history, state } = this.app;
    try {
      const sent = await api.call("msg", { user: entry.user, text: entry.text, wait: false });
      this.#forget(entry);
      history.window.named(entry, sent.id);
      const reached = sent.queued || sent.state === "sent" ? "waiting" : sent.state;
      if (entry.state === "sending") entry.state = reached;
      Object.assign(entry, { route: entry.route || (sent.queued ? "" : sent.route), address: entry.address || sent.address, note: sent.note ?? "", members: sent.members });
      if (state.current === entry.user) history.draw();
    } catch (error) {
      Object.assign(entry, { state: "failed", error: /** @type {Error} */ (error).message, code: /** @type {any} */ (error).code });
      this.app.commands.sendFailed?.(entry);
    }
    history.redraw(entry);
    state.touch("conversations");
  }

  /** @param {any} entry */
  #forget(entry) {
    this.local.set(entry.user, this.unsent(entry.user).filter((each) => each !== entry));
  }
}

/** What is offered beside a message that failed. @param {any} app */
function byAct(app) {
  document.addEventListener("click", (event) => {
    const button = /** @type {HTMLElement | null} */ (/** @type {HTMLElement} */ (event.target).closest?.("[data-act]"));
    const entry = /** @type {any} */ (button?.closest(".message"))?.entry;
    if (!entry) return;
    const again = entry.id ? () => app.outgoing.send(entry.user, entry.text) : () => app.outgoing.retry(entry);
    if (button?.dataset.act === "retry") again();
    if (button?.dataset.act === "discard") (entry.id ? app.commands.deleteMessage(entry) : app.outgoing.discard(entry));
  });
}
