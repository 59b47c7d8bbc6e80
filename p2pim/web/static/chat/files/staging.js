// @ts-check
/** The way of files from the browser to the agent: it gets a copy of them, and then sends that. */

import { ApiError } from "../api.js";

/** Files under way at once. A browser opens six connections to one place, and the page needs some of them. */
const AT_ONCE = 3;

export class Staging {
  /**
   * @param {any} api
   * @param {string} user for whom
   * @param {import("./gather.js").Entry[]} entries
   * @param {(staging: Staging) => void} progress called often
   */
  constructor(api, user, entries, progress) {
    this.api = api;
    this.user = user;
    this.entries = entries;
    this.progress = progress;
    this.total = entries.reduce((sum, { file }) => sum + (file?.size ?? 0), 0);
    this.bytes = 0;
    this.files = 0;
    this.drop = "";
    this.stopped = false;
    /** @type {Set<XMLHttpRequest>} */
    this.requests = new Set();
  }

  /**
   * Bring all of it to the agent and have it sent.
   * @param {{comment: string, route: string}} how
   * @returns {Promise<any[]>} the transfers
   * @throws {ApiError} "cancelled" after `cancel`
   */
  async send(how) {
    try {
      this.drop = (await this.api.call("drop", { user: this.user })).drop;
      const rest = this.entries[Symbol.iterator]();
      await Promise.all(Array.from({ length: AT_ONCE }, () => this.#carry(rest)));
      this.#check();
      return (await this.api.call("drop-send", { drop: this.drop, ...how })).transfers;
    } catch (error) {
      this.#stop();
      throw error;
    }
  }

  /** Give it up. */
  cancel() {
    this.#stop();
  }

  #stop() {
    if (this.stopped) return;
    this.stopped = true;
    for (const request of this.requests) request.abort();
    if (this.drop) this.api.call("drop-cancel", { drop: this.drop }).catch(() => {});
  }

  #check() {
    if (this.stopped) throw new ApiError("cancelled", "");
  }

  /** One after the other until none is left. @param {Iterator<import("./gather.js").Entry>} rest */
  async #carry(rest) {
    for (let next = rest.next(); !next.done; next = rest.next()) {
      this.#check();
      await this.#put(next.value);
      this.files += next.value.file ? 1 : 0;
      this.progress(this);
    }
  }

  /** @param {import("./gather.js").Entry} entry @returns {Promise<void>} */
  #put({ path, file }) {
    const request = new XMLHttpRequest();
    let counted = 0;
    const count = (/** @type {number} */ loaded) => {
      this.bytes += loaded - counted;
      counted = loaded;
      this.progress(this);
    };
    this.requests.add(request);
    return new Promise((resolve, reject) => {
      request.open("PUT", `${this.api.base}drop/${encodeURIComponent(this.drop)}/${path.map(encodeURIComponent).join("/")}${file ? "" : "/"}`);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      if (file) request.setRequestHeader("X-Modified-Ms", String(file.lastModified));
      request.upload.onprogress = (event) => count(Math.min(event.loaded, file?.size ?? 0));
      request.onload = () => {
        if (request.status < 300) {
          count(file?.size ?? 0);
          resolve();
        } else reject(refusal(request));
      };
      request.onerror = () => reject(new ApiError("unreadable", "", { path: path.join("/") }));
      request.onabort = () => reject(new ApiError("cancelled", ""));
      request.send(file);
    }).finally(() => this.requests.delete(request));
  }
}

/** @param {XMLHttpRequest} request */
function refusal(request) {
  try {
    const report = JSON.parse(request.responseText);
    return new ApiError(report.error, report.message);
  } catch {
    return new ApiError(`http-${request.status}`, `${request.status} ${request.statusText}`);
  }
}
