// @ts-check
/** How far a message of mine is, as small marks with words for those who do not see them. */

import { drawing, h } from "../common/dom.js";

const PATHS = {
  sending: "M12 4a8 8 0 1 0 0 16a8 8 0 1 0 0-16M12 8v4l3 2",
  waiting: "M12 4a8 8 0 1 0 0 16a8 8 0 1 0 0-16M12 8v4l3 2",
  sent: "M5 12.500l4.500 4.500L19 7.500",
  stored: "M4 7h16v11H4zM4 7.500l8 6 8-6",
  delivered: "M1.500 12.500l4.500 4.500L15 7.500M10.500 16.500l.5.5L20.500 7.500",
  read: "M1.500 12.500l4.500 4.500L15 7.500M10.500 16.500l.5.5L20.500 7.500",
  failed: "M12 4a8 8 0 1 0 0 16a8 8 0 1 0 0-16M12 8v5M12 16h.01",
};

/** @param {any} t @param {string} state */
export function ticks(t, state) {
  const path = PATHS[/** @type {keyof typeof PATHS} */ (state)];
  if (!path) return null;
  const words = t(`chat.state.${state}`);
  return h("span", { class: `ticks ${state}`, role: "img", "aria-label": words, title: words }, drawing(path));
}
