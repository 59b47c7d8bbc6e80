// @ts-check
/** Server-sent events that survive what happens to connections: they resume behind the last one that came. */

const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;

/**
 * Milliseconds before try number `tries` (from 0 on), with a spread so that many pages do not come at once.
 * @param {number} tries @param {number} [chance] 0 to 1
 */
export function waitBefore(tries, chance = Math.random()) {
  return Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(tries, 10)) * (0.75 + chance / 2);
}

/**
 * Follow the events at `url`.
 *
 * @param {string} url
 * @param {{onEvent: (event: any) => void, onState: (state: "open" | "lost") => void}} listener
 * @returns {{retry: () => void, close: () => void}} `retry` tries now instead of later
 */
export function follow(url, { onEvent, onState }) {
  /** @type {EventSource | null} */
  let source = null;
  let after = "";
  let tries = 0;
  let timer = 0;

  function open() {
    clearTimeout(timer);
    source?.close();
    const address = new URL(url, location.href);
    if (after) address.searchParams.set("after", after);
    source = new EventSource(address);
    source.onopen = () => { tries = 0; onState("open"); };
    source.onmessage = (message) => {
      if (message.lastEventId) after = message.lastEventId;
      onEvent(JSON.parse(message.data));
    };
    source.onerror = () => {
      source?.close();
      onState("lost");
      timer = window.setTimeout(open, waitBefore(tries++));
    };
  }
  open();
  return {
    retry() { tries = 0; open(); },
    close() { clearTimeout(timer); source?.close(); },
  };
}
