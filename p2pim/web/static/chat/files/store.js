// @ts-check
/** All transfers that this home remembers, kept as events tell of them. */

const ENDED = new Set(["completed", "disrupted"]);

/** @param {any} transfer */
export const ended = (transfer) => ENDED.has(transfer.state);

/** What a person has to answer. @param {any} transfer */
export const asks = (transfer) => transfer.direction === "in" && transfer.state === "offered";

/** A list that comes later than what is asked for next would undo it. */
const REFRESH_AFTER = 400;

export class Transfers {
  /** @param {any} app */
  constructor(app) {
    this._api = app.api;
    /** @type {Map<string, any>} by id, oldest first */
    this.all = new Map();
    /** @type {Set<(transfer: any, what: string) => void>} */
    this._watchers = new Set();
    this._timer = 0;
    this._asked = 0;
    /** Events so far, and at which of them each transfer was last spoken of. */
    this.heard = 0;
    /** Whether the list has been read. */
    this.loaded = false;
    /** @type {Map<string, number>} */
    this._heardOf = new Map();
    /** @type {Record<string, (event: any) => void>} */
    const heard = {
      offer: (event) => this._offered(event),
      transfer: (event) => this._put(event.transfer, event, "state"),
      progress: (event) => this._progress(event),
      stored: (event) => this._put(event.transfer, {
        state: "stored", bytes: event.bytes, rate: 0, reason: "", expires: after(event.at, event.expires_in),
      }, "state"),
      completed: (event) => this._put(event.transfer, {
        state: "completed", path: event.path, bytes: event.bytes, total: event.bytes, seconds: event.seconds, route: event.route,
        rate: 0, reason: "", message: "", paused: "",
      }, "state"),
      disrupted: (event) => this._disrupted(event),
      "signed-in": () => this.refreshSoon(),
      "stream-open": () => this.refreshSoon(),
      reset: () => this.refreshSoon(),
    };
    for (const [name, hear] of Object.entries(heard)) {
      app.events.on(name, (/** @type {any} */ event) => {
        if (event.transfer) this._heardOf.set(event.transfer, ++this.heard);
        hear(event);
      });
    }
  }

  /** Hear of every change: `what` is "new", "state" or "progress". @param {(transfer: any, what: string) => void} hear */
  watch(hear) {
    this._watchers.add(hear);
    return () => this._watchers.delete(hear);
  }

  /** Ask for the list, and take what is new in it. */
  async refresh() {
    clearTimeout(this._timer);
    this._timer = 0;
    const number = ++this._asked;
    const { heard } = this;
    const { transfers } = await this._api.call("transfers", {});
    if (number !== this._asked) return;
    this.loaded = true;
    for (const transfer of transfers) this.told(transfer, heard);
  }

  /** The same in a moment, once for all who ask. */
  refreshSoon() {
    if (this._timer) return;
    this._timer = window.setTimeout(() => { this.refresh().catch(() => {}); }, REFRESH_AFTER);
  }

  /**
   * The answer of a call: events overtake it, and what they told since it was asked for is newer.
   * @param {any} status @param {number} [since] `heard` when it was asked for
   */
  told(status, since = this.heard) {
    if (!status?.transfer) return;
    const known = this.all.get(status.transfer);
    const overtaken = (this._heardOf.get(status.transfer) ?? 0) > since;
    if (known === undefined || !overtaken) this._put(status.transfer, status, "state");
    else this._put(status.transfer, { created: status.created, folder: status.folder, expires: status.expires }, "state");
  }

  /** @param {any} event */
  _offered(event) {
    this._put(event.transfer, {
      transfer: event.transfer, user: event.user, name: event.name, total: event.size, files: event.files, comment: event.comment,
      direction: event.direction, state: event.route === "mailbox" && event.direction === "out" ? "waiting" : "offered", bytes: 0,
      rate: 0, route: "", reason: "", message: "", path: "", folder: event.files !== 1, paused: "", created: event.at, expires: null,
    }, "state");
    this.refreshSoon();
  }

  /** @param {any} event */
  _progress(event) {
    const known = this.all.get(event.transfer);
    if (known && ended(known)) return;
    const moves = known?.state === "running" || known?.state === "waiting" || known?.state === "offered";
    const change = { bytes: event.bytes, total: event.total, rate: event.rate, route: event.route };
    this._put(event.transfer, moves ? { ...change, state: "running", reason: "" } : change, "progress");
  }

  /** @param {any} event */
  _disrupted(event) {
    const change = { reason: event.reason, message: event.message, bytes: event.bytes, rate: 0 };
    if (!event.waits) Object.assign(change, { state: "disrupted", paused: "" });
    this._put(event.transfer, change, "state");
    if (event.waits) this.refreshSoon();
  }

  /** @param {string} id @param {any} change @param {string} what */
  _put(id, change, what) {
    const { event: _event, at: _at, ...fields } = change;
    const old = this.all.get(id);
    if (old === undefined && fields.name === undefined) {
      this.refreshSoon();
      return;
    }
    if (old !== undefined && ended(old) && !ended({ ...old, ...fields })) return;
    const transfer = { ...old, ...fields };
    if (transfer.state !== "running") transfer.rate = 0;
    this.all.set(id, transfer);
    const news = old === undefined ? "new" : old.state !== transfer.state ? "state" : what;
    for (const hear of this._watchers) hear(transfer, news);
  }
}

/** @param {string} at @param {number} seconds */
function after(at, seconds) {
  return new Date(Date.parse(at) + 1000 * seconds).toISOString();
}
