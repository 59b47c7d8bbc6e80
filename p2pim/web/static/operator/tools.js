// @ts-check
/** The buttons at the top: invite, theme, language, sign out. */

import { byId, h } from "../common/dom.js";

const THEMES = ["system", "light", "dark"];

/** @param {any} app */
export function mount(app) {
  const { t } = app;
  const invite = h("button", { type: "button", class: "primary", dataset: { testid: "invite" }, on: { click: () => app.actions.invite() } }, t("operator.invite"));
  const out = h("button", { type: "button", dataset: { testid: "sign-out" }, on: { click: signOut } }, t("operator.sign_out"));
  byId("top-tools").append(invite, themeChoice(t), languageChoice(t), out);
}

/** @param {any} t */
function themeChoice(t) {
  const root = document.documentElement;
  const now = root.dataset.theme ?? "system";
  const choice = h("select", { "aria-label": t("operator.theme"), dataset: { testid: "theme" } }, THEMES.map((theme) => h("option", { value: theme, selected: theme === now }, t(`operator.theme_${theme}`))));
  choice.addEventListener("change", () => {
    if (choice.value === "system") delete root.dataset.theme;
    else root.dataset.theme = choice.value;
    try {
      if (choice.value === "system") localStorage.removeItem("p2pim.theme");
      else localStorage.setItem("p2pim.theme", choice.value);
    } catch { /* it holds until the page is closed */ }
  });
  return choice;
}

/** @param {any} t */
function languageChoice(t) {
  const languages = [["en", "English"], ["zh-Hans", "简体中文"]];
  const choice = h("select", { "aria-label": t("operator.language"), dataset: { testid: "language" } }, languages.map(([tag, own]) => h("option", { value: tag, lang: tag, selected: tag === t.lang }, own)));
  choice.addEventListener("change", () => location.assign(`/?lang=${encodeURIComponent(choice.value)}`));
  return choice;
}

async function signOut() {
  await fetch("/sign-out", { method: "POST", credentials: "same-origin" });
  location.assign("/sign-in");
}
