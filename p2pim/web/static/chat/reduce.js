// @ts-check
/** How events change what the page knows. No I/O, no elements: state, event and time in, names of changed parts out. */

/** @param {any} state @param {any} event @param {number} now @returns {string[]} */
export function apply(state, event, now) {
  void state, event, now;
  return [];
}
