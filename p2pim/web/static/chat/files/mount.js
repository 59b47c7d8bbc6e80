// @ts-check
/** Files, keys, settings and the picture of the network: what `app.js` mounts of them. */

import { mountFiles } from "./files.js";
import { mountNetwork } from "./network.js";
import { mountSettings } from "./settings.js";
import { mountVerify } from "./verify.js";

/** @param {any} app */
export function mount(app) {
  mountFiles(app);
  mountVerify(app);
  mountNetwork(app);
  mountSettings(app);
}
