// @ts-check
/** How the page looks, and in which language it speaks. */

import { drawing, fill, h } from "../common/dom.js";
import { ICONS } from "./icons.js";

const THEMES = ["system", "light", "dark"];
const KEY = "p2pim.theme";
const PICTURES = { system: ICONS.system, light: ICONS.sun, dark: ICONS.moon };
/** The languages by their own names. */
const LANGUAGES = { en: "English", "zh-Hans": "简体中文" };

const chosen = () => document.documentElement.dataset.theme ?? "system";

/** @param {string} theme */
function setTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch { /* it holds as long as the page */ }
}

/** @param {any} app */
export function mount(app) {
  const { t } = app;
  const next = () => { setTheme(THEMES[(THEMES.indexOf(chosen()) + 1) % THEMES.length]); draw(); };
  const { button } = app.menu.add({ label: t("chat.theme"), icon: ICONS.system, testid: "theme", order: 70, run: next });
  const draw = () => {
    const label = t("chat.theme_is", { theme: t(`chat.theme.${chosen()}`) });
    fill(button, drawing(PICTURES[/** @type {keyof typeof PICTURES} */ (chosen())]));
    button.dataset.theme = chosen();
    button.title = label;
    button.setAttribute("aria-label", label);
  };
  draw();
  app.menu.element.append(languages(app, "language"));
  app.settingsSections.push({ key: "appearance", title: t("chat.appearance"), order: 10, render: () => section(app, draw) });
}

/** @param {any} app @param {string} testid */
function languages(app, testid) {
  const change = (/** @type {Event} */ event) => {
    app.composer.keep();
    const to = new URL(location.href);
    to.searchParams.set("lang", /** @type {HTMLSelectElement} */ (event.target).value);
    location.assign(to);
  };
  return h("select", { class: "language", "aria-label": app.t("chat.language"), title: app.t("chat.language"), dataset: { testid, order: "90" }, on: { change } },
    Object.entries(LANGUAGES).map(([tag, name]) => h("option", { value: tag, lang: tag, selected: tag === app.lang }, name)));
}

/** @param {any} app @param {() => void} redraw */
function section(app, redraw) {
  const { t } = app;
  const themes = THEMES.map((theme) => h("label", { class: "check" }, h("input", { type: "radio", name: "theme", value: theme, checked: chosen() === theme, on: { change: () => { setTheme(theme); redraw(); } } }), t(`chat.theme.${theme}`)));
  return h("div", null, h("fieldset", { class: "choices" }, h("legend", null, t("chat.theme")), themes), h("label", { class: "field" }, t("chat.language"), languages(app, "settings-language")));
}
