// @ts-check
/** One dialog with all settings: those of the agent here, those of the page itself where `app.settingsSections` has them. */

import { arrange } from "./arrange.js";
import { h } from "../../common/dom.js";
import { ICONS } from "../icons.js";
import { devicesSection } from "./devices.js";
import { agentSections, changedHere } from "./settings_agent.js";

/**
 * @typedef {{key: string, title: string, order: number, render: () => Element | Promise<Element>}} Section
 */

/** @param {any} app */
export function mountSettings(app) {
  app.settingsSections ??= [];
  app.settingsSections.push(...agentSections(app), devicesSection(app));
  app.commands.settings = (/** @type {string} */ key = "") => openSettings(app, key);
  app.menu.add({ label: app.t("settings.title"), icon: ICONS.settings, testid: "open-settings", order: 90, run: () => openSettings(app, "") });
}

/** @param {any} app @param {string} wanted the key of a section */
function openSettings(app, wanted) {
  /** @type {Section[]} */
  const sections = [...app.settingsSections].sort((a, b) => a.order - b.order);
  const pane = h("div", { class: "settings-pane", role: "tabpanel", id: "settings-pane", tabindex: 0 });
  const tabs = sections.map((section, index) => h("button", {
    type: "button", role: "tab", id: `settings-${section.key}`, class: "plain", "aria-controls": "settings-pane", dataset: { testid: `settings-${section.key}` },
    on: { click: () => choose(index) },
  }, section.title));
  let chosen = -1;

  /** @param {number} index @param {boolean} [anew] although it is shown already */
  async function choose(index, anew = false) {
    if (index === chosen && !anew) return;
    chosen = index;
    tabs.forEach((tab, each) => {
      tab.setAttribute("aria-selected", String(each === index));
      tab.tabIndex = each === index ? 0 : -1;
    });
    pane.setAttribute("aria-labelledby", tabs[index].id);
    const content = await sections[index].render();
    if (chosen === index) arrange(pane, [content]);
  }

  const list = h("div", { class: "settings-tabs", role: "tablist", "aria-label": app.t("settings.title"), on: { keydown: (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = (chosen + step + tabs.length) % tabs.length;
    choose(next);
    tabs[next].focus();
  } } }, tabs);
  choose(Math.max(0, sections.findIndex((section) => section.key === wanted)));
  // Changed in another window or by another program: shown, unless somebody is just changing something here.
  const stop = app.events.on("settings", () => { if (!changedHere() && !pane.contains(document.activeElement)) choose(chosen, true); });
  return app.dialog.open({ onClose: stop, title: app.t("settings.title"), kind: "wide settings-dialog", testid: "settings", content: h("div", { class: "settings" }, list, pane) });
}
