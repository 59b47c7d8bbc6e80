// @ts-check
/** Desktop notifications, and the count in the title of the window. */

import { h } from "../common/dom.js";
import { looking } from "./read.js";
import { conversationOf, unreadInAll } from "./reduce.js";

const KEY = "p2pim.notify";
/** Characters of a message in a notification. */
const SHOWN = 200;

/** "off", "name" (who, but not what) or "text". @returns {string} */
export function choice() {
  try {
    return localStorage.getItem(KEY) ?? "off";
  } catch {
    return "off";
  }
}

/** @param {any} app */
export function mount(app) {
  const { state, t } = app;
  const name = document.title;
  const title = () => {
    const unread = unreadInAll(state);
    const text = `${unread > 0 ? `(${unread > 999 ? "999+" : unread}) ` : ""}${state.current ? `${state.current} – ` : ""}${name}`;
    if (document.title !== text) document.title = text;
  };
  for (const part of ["conversations", "current"]) state.on(part, title);
  app.events.on("message", (/** @type {any} */ event) => tell(app, event));
  app.commands.notify = (/** @type {string} */ place, /** @type {string} */ heading, /** @type {string} */ text) => note(app, place, heading, text);
  app.events.on("contact-request", (/** @type {any} */ event) => note(app, event.user, t("chat.notify.request", { user: event.user }), ""));
  app.settingsSections.push({ key: "notifications", title: t("chat.notify.title"), order: 15, render: () => section(app) });
}

/** @param {any} app @param {any} event */
function tell(app, event) {
  const place = conversationOf(event);
  if (looking() && app.state.current === place) return;
  const { t } = app;
  const who = event.group ? t("chat.notify.in_group", { user: event.user, group: event.group }) : event.user;
  note(app, place, who, choice() === "text" ? event.text.slice(0, SHOWN) : t("chat.notify.new_message"));
}

/** @param {any} app @param {string} place @param {string} heading @param {string} text */
function note(app, place, heading, text) {
  if (choice() === "off" || !("Notification" in window) || Notification.permission !== "granted") return;
  const shown = new Notification(heading, { body: text, tag: `p2pim ${place}`, lang: app.lang });
  shown.onclick = () => {
    focus();
    app.commands.open(place, { write: true });
    shown.close();
  };
}

/** Part of the settings. @param {any} app */
function section(app) {
  const { t } = app;
  const hint = h("p", { class: "hint", role: "status" });
  const denied = () => { hint.textContent = !("Notification" in window) ? t("chat.notify.unsupported") : Notification.permission === "denied" ? t("chat.notify.denied") : ""; };
  const choose = async (/** @type {string} */ value) => {
    // Browsers let a page ask only because somebody clicked.
    if (value !== "off" && "Notification" in window && Notification.permission === "default") await Notification.requestPermission();
    localStorage.setItem(KEY, value);
    denied();
  };
  denied();
  const options = ["off", "name", "text"].map((value) =>
    h("label", { class: "check" }, h("input", { type: "radio", name: "notify", value, checked: choice() === value, on: { change: () => choose(value) } }), t(`chat.notify.${value}`)));
  return h("fieldset", { class: "choices", dataset: { testid: "notifications" } }, h("legend", null, t("chat.notify.legend")), options, hint);
}
