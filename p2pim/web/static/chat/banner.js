// @ts-check
/** Over everything: that the server or the agent is away, what that means, and that it is back. */

import { byId, fill, h } from "../common/dom.js";

/** For so long (ms) it says that all is well again. */
const GOOD_NEWS = 3000;
/** Before so long (ms) an interruption is not worth a word: a reload of the agent's connection, say. */
const PATIENCE = 700;

/** @param {any} app */
export function mount(app) {
  const { state, t, events } = app;
  const banner = byId("banner");
  let trouble = "";
  let timer = 0;

  events.on("stream-lost", () => { if (state.agent === "up") { state.agent = "gone"; state.touch("agent"); } });

  /** @returns {{key: string, text: string, button?: [string, () => void]} | null} */
  function wrong() {
    const { agent, server } = state;
    if (agent === "refused") return { key: "refused", text: t("chat.banner.refused") };
    if (agent === "gone") return { key: "agent", text: t("chat.banner.agent"), button: [t("chat.banner.retry"), () => events.retry()] };
    if (server.state === "out") return { key: "out", text: t.has(`chat.banner.out_${server.reason}`) ? t(`chat.banner.out_${server.reason}`) : t("chat.banner.out", { why: server.message || server.reason }) };
    if (server.state === "down") return { key: "server", text: t("chat.banner.server") };
    return null;
  }

  /** @param {string} key @param {string} text @param {[string, () => void]} [button] */
  function show(key, text, button) {
    banner.hidden = false;
    banner.dataset.state = key;
    fill(banner, h("span", null, text), button && h("button", { type: "button", dataset: { testid: "reconnect" }, on: { click: button[1] } }, button[0]));
  }

  function update() {
    const now = wrong();
    clearTimeout(timer);
    if (now) {
      timer = window.setTimeout(() => { trouble = now.key; show(now.key, now.text, now.button); }, trouble ? 0 : PATIENCE);
    } else if (trouble) {
      show("back", t(trouble === "agent" ? "chat.banner.agent_back" : "chat.banner.back"));
      trouble = "";
      timer = window.setTimeout(() => { banner.hidden = true; }, GOOD_NEWS);
    }
  }
  for (const part of ["server", "agent"]) state.on(part, update);
}
