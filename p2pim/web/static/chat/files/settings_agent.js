// @ts-check
/** The agent's settings: each takes effect, and is kept, as soon as it is changed. */

import { h } from "../../common/dom.js";

const GIB = 2 ** 30;

/** What can be chosen, and how that is called. */
const ACCEPT = { ask: "settings.accept.ask", contacts: "settings.accept.contacts", always: "settings.accept.always", never: "settings.accept.never" };
const CHANNEL = { auto: "settings.channel.auto", tcp: "settings.channel.tcp", udp: "settings.channel.udp", none: "settings.channel.none" };
const CONNECT = { chat: "settings.connect.chat", lan: "settings.connect.lan", never: "settings.connect.never" };
const P2P = { "": "settings.p2p.server", none: "settings.p2p.none", own: "settings.p2p.own" };

/** @param {any} app */
export function agentSections(app) {
  const { t } = app;
  const section = (/** @type {string} */ key, /** @type {string} */ title, /** @type {number} */ order, /** @type {(form: Form) => any[]} */ fields) =>
    ({ key, title, order, render: () => render(app, fields) });
  return [
    section("files", t("settings.files"), 20, (form) => [
      form.choice("accept", ACCEPT, "settings.accept"), form.text("downloads", "settings.downloads", "settings.downloads.hint"), form.quota(),
    ]),
    section("connection", t("settings.connection"), 30, (form) => [
      form.choice("channel", CHANNEL, "settings.channel"), form.choice("connect", CONNECT, "settings.connect"), form.p2pServer(),
    ]),
    section("presence", t("settings.presence"), 40, (form) => [form.away(), form.guests()]),
  ];
}

/** @param {any} app @param {(form: Form) => any[]} fields */
async function render(app, fields) {
  try {
    const form = new Form(app, await app.api.call("settings", {}));
    return h("div", { class: "settings-form" }, fields(form), form.saved);
  } catch (error) {
    return h("p", { class: "error-text", role: "alert" }, /** @type {Error} */ (error).message);
  }
}

/** After a change made here the event that tells of it is no news, whether it comes before the answer or behind it. */
const OWN_NEWS = 2000;
let changed = -Infinity;

/** Whether settings were changed in this very window just now. */
export const changedHere = () => performance.now() - changed < OWN_NEWS;

let count = 0;

/** The fields of one section. */
class Form {
  /** @param {any} app @param {any} values */
  constructor(app, values) {
    this.app = app;
    this.values = values;
    this.saved = h("p", { class: "hint saved", role: "status" });
  }

  /** @param {string} name */
  fixed(name) {
    return (this.values.fixed ?? []).includes(name);
  }

  /** Set it at the agent; what it says against that stands beside the field. @param {string} name @param {any} value @param {HTMLElement} error */
  async set(name, value, error) {
    error.textContent = "";
    changed = performance.now();
    try {
      this.values = await this.app.api.call("settings", { set: { [name]: value } });
      changed = performance.now();
      this.saved.textContent = this.app.t("settings.saved");
      return true;
    } catch (failure) {
      this.saved.textContent = "";
      error.textContent = /** @type {Error} */ (failure).message;
      return false;
    }
  }

  /** A labelled field. @param {string} name @param {string} key @param {string} hint @param {(attributes: any, error: HTMLElement) => any} make */
  field(name, key, hint, make) {
    const { t } = this.app;
    const id = `setting-${++count}`;
    const error = h("p", { class: "error", id: `${id}-error`, role: "alert" });
    const fixed = this.fixed(name);
    const why = fixed ? t("settings.fixed") : hint;
    const control = make({ id, disabled: fixed, "aria-describedby": `${id}-hint ${id}-error`, dataset: { testid: `setting-${name}` } }, error);
    return h("div", { class: "field" }, h("label", { for: id }, t(key)), control, why && h("p", { class: "hint", id: `${id}-hint` }, why), error);
  }

  /** @param {string} name @param {Record<string, string>} choices @param {string} key */
  choice(name, choices, key) {
    return this.field(name, key, "", (attributes, error) => {
      const select = h("select", { ...attributes, on: { change: () => this.set(name, select.value, error) } }, this.options(choices, this.values[name]));
      return select;
    });
  }

  /** @param {Record<string, string>} choices @param {string} chosen */
  options(choices, chosen) {
    return Object.entries(choices).map(([value, key]) => h("option", { value, selected: value === chosen }, this.app.t(key)));
  }

  /** A line of text, set when it is left or Enter pressed. @param {string} name @param {string} key @param {string} hint */
  text(name, key, hint) {
    return this.field(name, key, this.app.t(hint), (attributes, error) => {
      const input = h("input", { ...attributes, type: "text", value: this.values[name] ?? "", autocomplete: "off", spellcheck: "false", dir: "ltr", on: { change: () => this.#setText(name, input, error) } });
      return input;
    });
  }

  /** An empty one is what is usual, which is shown then. @param {string} name @param {HTMLInputElement} input @param {HTMLElement} error */
  async #setText(name, input, error) {
    if (await this.set(name, input.value.trim() || null, error)) input.value = this.values[name] ?? "";
  }

  /** @param {string} name @param {string} key @param {string} hint @param {any} options `value` shown, `step`, `take` from the number to what is set */
  number(name, key, hint, { value, step, take }) {
    return this.field(name, key, this.app.t(hint), (attributes, error) => {
      const input = h("input", { ...attributes, type: "number", min: 0, step, value, inputmode: "decimal", on: { change: () => {
        if (input.validity.valid) this.set(name, take(input.value), error);
        else error.textContent = input.validationMessage;
      } } });
      return input;
    });
  }

  quota() {
    const value = this.values.quota === null ? "" : String(Math.round((100 * this.values.quota) / GIB) / 100);
    return this.number("quota", "settings.quota", "settings.quota.hint", {
      value, step: "any", take: (/** @type {string} */ text) => (text === "" ? null : Math.round(Number(text) * GIB)),
    });
  }

  away() {
    return this.number("away_after", "settings.away", "settings.away.hint", {
      value: String(this.values.away_after), step: "any", take: (/** @type {string} */ text) => Number(text || 0),
    });
  }

  /** Whether to meet guests, where the server lets them. */
  guests() {
    const place = h("div", { class: "field" });
    this.app.api.call("guests", {}).then((/** @type {any} */ told) => told.policy !== "apart" && this.offerGuests(place, told.on), () => undefined);
    return place;
  }

  /** @param {HTMLElement} place @param {boolean} on */
  offerGuests(place, on) {
    const { api, t } = this.app;
    const id = `setting-${++count}`;
    const error = h("p", { class: "error", role: "alert" });
    const change = async () => {
      error.textContent = "";
      try {
        await api.call("guests", { on: box.checked });
        this.saved.textContent = t("settings.saved");
      } catch (failure) {
        box.checked = !box.checked;
        error.textContent = /** @type {Error} */ (failure).message;
      }
    };
    const box = h("input", { id, type: "checkbox", checked: on, "aria-describedby": `${id}-hint`, dataset: { testid: "setting-guests" }, on: { change } });
    place.append(h("label", { class: "check", for: id }, box, " ", t("settings.guests")), h("p", { class: "hint", id: `${id}-hint` }, t("settings.guests.hint")), error);
  }

  p2pServer() {
    const now = this.values.p2p_server ?? "";
    const kind = now === "" || now === "none" ? now : "own";
    return this.field("p2p_server", "settings.p2p", this.app.t("settings.p2p.hint"), (attributes, error) => {
      const address = h("input", {
        type: "text", value: kind === "own" ? now : "", hidden: kind !== "own", disabled: attributes.disabled, placeholder: "p2p.example.org:9901", "aria-label": this.app.t("settings.p2p.address"), autocomplete: "off", spellcheck: "false",
        dir: "ltr", dataset: { testid: "setting-p2p-address" }, on: { change: () => this.set("p2p_server", address.value.trim(), error) },
      });
      const select = h("select", { ...attributes, on: { change: () => {
        address.hidden = select.value !== "own";
        if (select.value === "own") address.focus();
        else this.set("p2p_server", select.value || null, error);
      } } }, this.options(P2P, kind));
      return h("div", { class: "beside" }, select, address);
    });
  }
}
