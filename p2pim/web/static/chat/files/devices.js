// @ts-check
/** The devices of this account: which they are, how they are called, and the end of one. */

import { fill, h, name } from "../../common/dom.js";
import { formats } from "./format.js";

/** @param {any} app */
export function devicesSection(app) {
  return { key: "devices", title: app.t("settings.devices"), order: 50, render: () => render(app) };
}

/** @param {any} app */
async function render(app) {
  const { t } = app;
  const list = h("ul", { class: "devices" });
  const error = h("p", { class: "error-text", role: "alert" });
  const view = h("div", null, h("p", { class: "hint" }, t("settings.devices.hint")), list, error);

  /** @param {Promise<any>} call */
  async function afterwards(call) {
    try {
      await call;
      error.textContent = "";
    } catch (failure) {
      error.textContent = /** @type {Error} */ (failure).message;
    }
    await show();
  }
  async function show() {
    try {
      const { devices } = await app.api.call("devices", {});
      fill(list, devices.map((/** @type {any} */ device) => row(app, device, afterwards)));
    } catch (failure) {
      error.textContent = /** @type {Error} */ (failure).message;
    }
  }
  await show();
  return view;
}

/** @param {any} app @param {any} device @param {(call: Promise<any>) => Promise<void>} afterwards */
function row(app, device, afterwards) {
  const { t } = app;
  const f = formats(t);
  const short = device.device.slice(0, 8);
  const called = device.name || short;
  const facts = [t("settings.device.added", { day: f.day(device.added) }), device.used ? t("settings.device.used", { day: f.when(device.used) }) : "", short].filter(Boolean);
  return h(
    "li", { class: "device", dataset: { testid: "device", device: device.device, this: String(device.this) } },
    h("div", { class: "device-words" }, h("p", null, name(called), device.this && h("span", { class: "tag" }, t("settings.device.this"))), h("p", { class: "hint" }, facts.join(" · "))),
    h("div", { class: "transfer-buttons" },
      h("button", { type: "button", "aria-label": t("settings.device.rename-it", { name: called }), dataset: { testid: "rename-device" }, on: { click: () => rename(app, device, afterwards) } }, t("settings.device.rename")),
      !device.this && h("button", { type: "button", class: "danger", "aria-label": t("settings.device.remove-it", { name: called }), dataset: { testid: "remove-device" }, on: { click: () => remove(app, device, called, afterwards) } }, t("settings.device.remove"))),
  );
}

/** @param {any} app @param {any} device @param {(call: Promise<any>) => Promise<void>} afterwards */
function rename(app, device, afterwards) {
  const { t } = app;
  const field = h("input", { type: "text", id: "device-name", value: device.name, maxlength: 128, autocomplete: "off", autofocus: true, dataset: { testid: "device-name" } });
  const run = () => { afterwards(app.api.call("rename-device", { id: device.device, name: field.value })); };
  const form = h(
    "form", { class: "field", on: { submit: (/** @type {Event} */ event) => { event.preventDefault(); run(); dialog.close(); } } },
    h("label", { for: "device-name" }, t("settings.device.name")), field,
  );
  const dialog = app.dialog.open({
    title: t("settings.device.rename"),
    content: form,
    actions: [{ label: t("common.cancel") }, { label: t("settings.device.rename"), kind: "primary", testid: "rename-yes", run }],
  });
}

/** @param {any} app @param {any} device @param {string} called @param {(call: Promise<any>) => Promise<void>} afterwards */
async function remove(app, device, called, afterwards) {
  const { t } = app;
  const yes = await app.dialog.confirm({
    title: t("settings.device.remove.title"),
    text: t.nodes("settings.device.remove.sure", { name: name(called) }),
    yes: t("settings.device.remove"),
    danger: true,
  });
  if (yes) await afterwards(app.api.call("remove-device", { id: device.device }));
}
