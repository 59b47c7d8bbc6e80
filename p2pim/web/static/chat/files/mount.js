// @ts-check
/** Files and folders, transfers, verification, settings and the network picture. */

/** @param {any} app */
export function mount(app) {
  void app;
}
