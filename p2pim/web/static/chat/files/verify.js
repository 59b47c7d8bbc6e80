// @ts-check
/** Whose keys these are: comparing them with a person, and what to do when they changed. */

import { fill, h, name } from "../../common/dom.js";
import { ICONS } from "../icons.js";
import { isGuest } from "../people.js";
import { compareView } from "./sas.js";

/** @param {any} app */
export function mountVerify(app) {
  const open = (/** @type {string} */ user, /** @type {boolean} */ compare = false) => openVerify(app, user, compare);
  app.commands.verify = open;
  app.actions.add({
    label: app.t("verify.open"), icon: ICONS.shield, testid: "open-verify", order: 40, when: (/** @type {string} */ user) => !user.startsWith("#") && !isGuest(user),
    run: () => open(app.state.current),
  });
  app.events.on("verify", (/** @type {any} */ event) => asked(app, event));
  app.events.on("device-added", (/** @type {any} */ event) => added(app, event));
}

/** Somebody wants to compare: a notice in the conversation. @param {any} app @param {any} event */
function asked(app, event) {
  const { t } = app;
  const id = `verify-${event.user}`;
  const done = () => app.timeline.remove(event.user, id);
  const notice = h(
    "div", { class: "notice", role: "status", dataset: { testid: "compare-asked" } },
    h("p", null, t.nodes("verify.asked", { user: name(event.user) })),
    h("div", { class: "transfer-buttons" },
      h("button", { type: "button", class: "primary", dataset: { testid: "take-up" }, on: { click: () => { done(); app.commands.verify(event.user, true); } } }, t("verify.take-up")),
      h("button", { type: "button", on: { click: done } }, t("verify.not-now"))),
  );
  app.timeline.put(event.user, { id, at: Date.parse(event.at), render: () => notice });
  const open = { label: t("files.offer.open"), run: () => app.commands.open(event.user) };
  if (app.state.current !== event.user) app.toast(t("verify.asked", { user: event.user }), "", open);
}

/** @param {any} app @param {any} event */
function added(app, event) {
  if (event.user === app.me?.user) return;
  const { t } = app;
  const device = event.name || event.device.slice(0, 8);
  const notice = h("p", { class: "notice", dataset: { testid: "device-added" } }, t.nodes("verify.device-added", { user: name(event.user), device: name(device) }));
  app.timeline.put(event.user, { id: `device-${event.device}`, at: Date.parse(event.at), render: () => notice });
}

/** @param {any} app @param {string} user @param {boolean} compare */
async function openVerify(app, user, compare) {
  const { t } = app;
  const content = h("div", { class: "verify" }, h("p", { class: "hint", role: "status" }, t("common.loading")));
  let closed = false;
  const ending = new AbortController();
  const dialog = app.dialog.open({
    title: t.nodes("verify.title", { user: name(user) }),
    content,
    testid: "verify-dialog",
    kind: "wide",
    onClose: () => { closed = true; ending.abort(); },
  });
  /** @param {any} params */
  async function ask(params) {
    try {
      const report = await app.api.call("verify", { user, ...params });
      if (!closed) show(report);
      told(app, report);
    } catch (error) {
      if (!closed) fill(content, h("p", { class: "error-text", role: "alert" }, /** @type {Error} */ (error).message));
    }
  }
  /** @param {any} report */
  function show(report) {
    fill(
      content, standing(app, report, ask), compareView(app, user, { signal: ending.signal, now: compare, done: () => ask({}) }),
      safetyNumber(app, report, ask), deviceList(app, report),
    );
    compare = false;
  }
  await ask({});
  return dialog;
}

/** The page's own knowledge follows. @param {any} app @param {any} report */
function told(app, report) {
  const { state } = app;
  const known = state.details.get(report.user);
  if (known) state.details.set(report.user, { ...known, verified: report.verified, changed: report.changed });
  state.touch("details");
}

/** @param {any} app @param {any} report @param {(params: any) => Promise<void>} ask */
function standing(app, report, ask) {
  const { t } = app;
  const kind = report.changed ? "changed" : report.verified ? "verified" : "unverified";
  const text = { changed: "verify.is.changed", verified: "verify.is.verified", unverified: "verify.is.unverified" }[kind];
  const accept = async () => {
    const yes = await app.dialog.confirm({ title: t("verify.accept.title"), text: t("verify.accept.sure", { user: report.user }), yes: t("verify.accept"), danger: true });
    if (yes) await ask({ accept: true });
  };
  return h(
    "div", { class: `standing ${kind}`, dataset: { testid: "standing", state: kind } },
    h("p", { role: "status" }, t.nodes(text, { user: name(report.user) })),
    report.changed && h("button", { type: "button", class: "danger", dataset: { testid: "accept-keys" }, on: { click: accept } }, t("verify.accept")),
  );
}

/** @param {any} app @param {any} report @param {(params: any) => Promise<void>} ask */
function safetyNumber(app, report, ask) {
  const { t } = app;
  const groups = report.safety_number.split(" ");
  return h(
    "section", null,
    h("h3", null, t("verify.number")),
    h("p", { class: "hint" }, t.nodes("verify.number.how", { user: name(report.user) })),
    h("p", { class: "safety-number mono", dir: "ltr", dataset: { testid: "safety-number" } }, groups.map((/** @type {string} */ group) => h("span", null, group, " "))),
    !report.verified && h("button", { type: "button", dataset: { testid: "confirm-number" }, on: { click: () => ask({ confirm: true }) } }, t("verify.number.same")),
  );
}

/** @param {any} app @param {any} report */
function deviceList(app, report) {
  const { t } = app;
  const rows = report.devices.map((/** @type {any} */ device) => h(
    "li", { dataset: { testid: "their-device" } },
    h("p", null, name(device.user), " · ", name(device.name || device.device.slice(0, 8)), " · ", h("span", { class: "hint" }, t(deviceState(device)))),
    h("code", { dir: "ltr" }, device.fingerprint),
  ));
  return h("details", { class: "key-list" }, h("summary", null, t("verify.devices")), h("ul", null, rows));
}

/** @param {any} device */
function deviceState(device) {
  if (device.this) return "verify.device.this";
  if (!device.accepted) return "verify.device.new";
  return device.verified ? "verify.device.verified" : "verify.device.unverified";
}
