// @ts-check
/** Read marks: what is on the screen of somebody who looks at it has been read. And when somebody is there at all. */

import { read } from "./reduce.js";

/** Between two times (ms) that the agent is told that the person is there. */
const ACTIVE_EVERY = 60_000;

/** Whether somebody is looking. */
export const looking = () => document.visibilityState === "visible" && document.hasFocus();

/** @param {any} app */
export function mount(app) {
  const { state, api } = app;
  let under = false;

  async function mark() {
    const user = state.current;
    const unread = state.conversations.get(user)?.unread ?? 0;
    if (under || !user || unread === 0 || !looking() || !app.history.stick || app.history.loader.opening || hidden()) return;
    under = true;
    try {
      await api.call("read", { user });
      const conversation = state.conversations.get(user);
      if (conversation) state.touch(...read(state, user, unread));
    } catch { /* it stays unread, and is tried with the next occasion */ } finally {
      under = false;
    }
  }
  /** On narrow windows the list covers the conversation. */
  const hidden = () => app.history.scroller.clientHeight === 0;

  let active = 0;
  function isActive() {
    const now = Date.now();
    if (now - active < ACTIVE_EVERY || !looking()) return;
    active = now;
    api.call("active").catch(() => {});
  }

  app.commands.markRead = mark;
  for (const part of ["current", "conversations"]) state.on(part, () => requestAnimationFrame(mark));
  addEventListener("focus", mark);
  document.addEventListener("visibilitychange", mark);
  for (const sign of ["pointerdown", "pointermove", "keydown"]) addEventListener(sign, isActive, { passive: true, capture: true });
}
