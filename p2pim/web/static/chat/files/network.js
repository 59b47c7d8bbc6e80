// @ts-check
/** Whom I am connected to, and by which path: a live drawing, and the same as a table. */

import { h, name, perFrame } from "../../common/dom.js";
import { ICONS } from "../icons.js";
import { arrange } from "./arrange.js";
import { formats } from "./format.js";
import { Drawing, MOST_DRAWN } from "./network_drawing.js";

/** Round-trip times change without an event. */
const POLL = 5000;
const SOON = 300;

const KINDS = { tcp: "network.kind.tcp", udp: "network.kind.udp", relay: "network.kind.relay", none: "network.kind.none" };
const STATUS = { online: "network.status.online", away: "network.status.away", busy: "network.status.busy", offline: "network.status.offline", unknown: "network.status.unknown" };
const CHANGES = ["route", "presence", "channel-opened", "channel-closed", "connect-failed", "signed-in", "interrupted", "stream-open", "reset"];

/** @param {any} app */
export function mountNetwork(app) {
  app.commands.network = () => openNetwork(app);
  app.menu.add({ label: app.t("network.title"), icon: ICONS.network, testid: "open-network", order: 30, run: () => openNetwork(app) });
}

/** @param {any} app */
function openNetwork(app) {
  const view = new NetworkView(app);
  const dialog = app.dialog.open({ title: app.t("network.title"), kind: "wide network-dialog", testid: "network", content: view.element, onClose: () => view.close() });
  view.load();
  return dialog;
}

class NetworkView {
  /** @param {any} app */
  constructor(app) {
    const { t } = app;
    this.app = app;
    this.f = formats(t);
    /** @type {Drawing | null} */
    this.drawing = null;
    this.value = null;
    /** @type {Map<string, {row: any, cells: any[]}>} */
    this.rows = new Map();
    this.picture = h("div", { class: "network-picture" });
    this.about = h("p", { class: "hint", dataset: { testid: "network-me" } });
    this.more = h("p", { class: "hint", hidden: true });
    this.body = h("tbody", { role: "rowgroup" });
    this.empty = h("p", { class: "hint", hidden: true }, t("network.empty"));
    const heads = ["network.person", "network.path", "network.address", "network.rtt", "network.traffic"].map((key) => h("th", { scope: "col", role: "columnheader" }, t(key)));
    this.error = h("p", { class: "error-text", role: "alert" });
    this.element = h(
      "div", { class: "network" }, this.error, this.about, this.picture, legend(t), this.more, this.empty,
      h("div", { class: "network-table", tabindex: 0, role: "group", "aria-label": t("network.table") },
        h("table", { role: "table" }, h("caption", { class: "unseen" }, t("network.table")), h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)), this.body)),
    );
    this.timer = 0;
    this.stopped = false;
    this.asking = false;
    this.show = perFrame(() => this.#show());
    this.stops = CHANGES.map((event) => app.events.on(event, () => this.#in(SOON)));
  }

  close() {
    this.stopped = true;
    clearTimeout(this.timer);
    for (const stop of this.stops) stop();
  }

  async load() {
    if (this.asking || this.stopped) return;
    this.asking = true;
    try {
      if (!document.hidden || this.value === null) this.value = await this.app.api.call("network", {});
      this.error.textContent = "";
      this.show();
    } catch (error) {
      this.error.textContent = /** @type {Error} */ (error).message;
    } finally {
      this.asking = false;
      this.#in(POLL);
    }
  }

  /** @param {number} wait */
  #in(wait) {
    clearTimeout(this.timer);
    if (!this.stopped) this.timer = window.setTimeout(() => this.load(), wait);
  }

  #show() {
    if (this.value === null || this.stopped) return;
    const { t } = this.app;
    const { me, peers } = /** @type {any} */ (this.value);
    const sorted = [...peers].sort((a, b) => (a.user < b.user ? -1 : 1));
    const connected = sorted.filter((peer) => peer.kind !== "none");
    this.drawing ??= this.#draw(me);
    this.drawing.update({
      peers: [...connected, ...sorted.filter((peer) => peer.kind === "none")].slice(0, MOST_DRAWN).sort((a, b) => (a.user < b.user ? -1 : 1)),
      label: t.n("network.label", connected.length),
      me: { detail: me.address ?? "", connected: me.connected, words: me.connected && me.server_rtt_ms !== null && me.server_rtt_ms !== undefined ? this.f.milliseconds(me.server_rtt_ms) : "" },
      server: { detail: me.server ?? "" },
      words: (peer) => this.#words(peer),
    });
    this.about.replaceChildren(...this.#about(me));
    this.more.hidden = sorted.length <= MOST_DRAWN;
    this.more.textContent = t.n("network.more", Math.max(0, sorted.length - MOST_DRAWN));
    this.empty.hidden = sorted.length > 0;
    arrange(this.body, sorted.map((peer) => this.#row(peer)));
  }

  /** @param {any} me */
  #draw(me) {
    const drawing = new Drawing(me.user, this.app.t("network.server"));
    this.picture.append(drawing.element);
    return drawing;
  }

  /** What stands on a line. @param {any} peer */
  #words(peer) {
    if (peer.kind === "none") return "";
    const kind = { tcp: "TCP", udp: "UDP" }[/** @type {string} */ (peer.kind)] ?? this.app.t("network.kind.relay");
    return peer.rtt_ms === null || peer.rtt_ms === undefined ? kind : `${kind} ${this.f.milliseconds(peer.rtt_ms)}`;
  }

  /** @param {any} me */
  #about(me) {
    const { t } = this.app;
    const words = [t.nodes("network.me", { user: name(me.user), device: name(me.device_name || String(me.device).slice(0, 8)) })];
    words.push(t(me.connected ? "network.me.connected" : "network.me.lost", { server: me.server ?? "" }));
    if (me.listening) words.push(t("network.me.listening", { address: [me.listening].flat().join(", ") }));
    words.push(me.p2p_server ? t("network.me.p2p", { address: me.p2p_server }) : t("network.me.no-p2p"));
    return words.flatMap((part) => [part, " "]).flat();
  }

  /** @param {any} peer */
  #row(peer) {
    const { t } = this.app;
    let known = this.rows.get(peer.user);
    if (known === undefined) {
      const open = h("button", { type: "button", class: "link", on: { click: () => this.#talk(peer.user) } }, name(peer.user));
      const status = h("span", { class: "hint" });
      const cells = [status, ...Array.from({ length: 4 }, () => h("td", { role: "cell" }))];
      known = { row: h("tr", { role: "row", dataset: { testid: "network-peer", user: peer.user } }, h("th", { scope: "row", role: "rowheader" }, open, " ", status), cells.slice(1)), cells };
      this.rows.set(peer.user, known);
    }
    known.row.dataset.kind = peer.kind;
    const status = STATUS[/** @type {keyof STATUS} */ (peer.status)] ?? STATUS.unknown;
    const path = t(KINDS[/** @type {keyof KINDS} */ (peer.kind)] ?? KINDS.none) + (peer.same_lan && peer.kind !== "relay" ? ` · ${t("network.same-lan")}` : "");
    const why = peer.kind === "tcp" || peer.kind === "udp" ? "" : (peer.reasons ?? []).map((/** @type {any} */ each) => `${each.rung}: ${each.reason}`).join("; ");
    const traffic = peer.sent || peer.received ? t("network.traffic.both", { sent: this.f.size(peer.sent ?? 0), received: this.f.size(peer.received ?? 0) }) : "";
    const texts = [t(status), why ? `${path} (${why})` : path, peer.address ?? "", peer.rtt_ms === null || peer.rtt_ms === undefined ? "" : this.f.milliseconds(peer.rtt_ms), traffic];
    texts.forEach((text, index) => {
      const cell = /** @type {any} */ (known).cells[index];
      if (cell.textContent !== text) cell.textContent = text;
    });
    return known.row;
  }

  /** @param {string} user */
  #talk(user) {
    this.element.closest("dialog")?.close();
    this.app.state.open(user);
  }
}

/** @param {any} t */
function legend(t) {
  const kinds = Object.entries(KINDS).map(([kind, key]) => h("li", { dataset: { kind } }, h("span", { class: "net-swatch", dataset: { kind } }), t(key)));
  return h("ul", { class: "network-legend", "aria-label": t("network.legend") }, kinds);
}
