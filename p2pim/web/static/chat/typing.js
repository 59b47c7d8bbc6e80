// @ts-check
/** "bob is writing…", while that is news. */

import { byId, fill, h } from "../common/dom.js";
import { shownName } from "./people.js";
import { expireTyping } from "./reduce.js";

/** @param {any} app */
export function mount(app) {
  const { state, t } = app;
  const line = byId("typing");
  let timer = 0;

  function show() {
    state.touch(...expireTyping(state, Date.now()));
    const users = [...(state.typing.get(state.current ?? "")?.keys() ?? [])];
    const shown = users.join("\n");
    if (line.dataset.users !== shown) {
      line.dataset.users = shown;
      fill(line, users.length > 0 && [h("span", { class: "typing-dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")), ...t.nodes("chat.typing_line", { user: shownName(users[0]) })]);
    }
    clearTimeout(timer);
    if (state.typing.size > 0) timer = window.setTimeout(show, 1000);
  }
  for (const part of ["typing", "current"]) state.on(part, show);
}
