// @ts-check
/** What happens at the agent, told to whoever listens. */

import { follow } from "../common/sse.js";

/**
 * `on(name, fn)` hears events of that name, `on("*", fn)` all of them; both give what ends it. Beside the agent's own
 * (docs/api.md) there are "stream-open", "stream-lost", and "reset" when events were missed and all is to be read again.
 */
export class Events {
  constructor() {
    /** @type {Map<string, Set<(event: any) => void>>} */
    this.listeners = new Map();
    /** @type {ReturnType<typeof follow> | null} */
    this.stream = null;
    this.open = false;
  }

  /** @param {string} name @param {(event: any) => void} listener */
  on(name, listener) {
    const set = this.listeners.get(name) ?? new Set();
    this.listeners.set(name, set.add(listener));
    return () => set.delete(listener);
  }

  /** Tell `event` to its listeners. A listener that fails stops no other. @param {any} event */
  emit(event) {
    for (const name of [event.event, "*"]) {
      for (const listener of this.listeners.get(name) ?? []) {
        try {
          listener(event);
        } catch (error) {
          console.error(error);
        }
      }
    }
  }

  /** Follow the agent's events from now on. @param {string} url */
  start(url) {
    this.stream = follow(url, {
      onEvent: (event) => this.emit(event),
      onState: (state) => {
        if ((state === "open") === this.open && state === "open") return;
        this.open = state === "open";
        this.emit({ event: `stream-${state}` });
      },
    });
  }

  /** Try to reach the agent now rather than later. */
  retry() {
    this.stream?.retry();
  }
}
