// @ts-check
/** The operator's page: reads what the server says, shows it, and keeps it up to date. */

import { Dialogs } from "../chat/dialog.js";
import { byId } from "../common/dom.js";
import { loadTranslator } from "../common/i18n.js";
import { Actions } from "./actions.js";
import { mount as mountFigures } from "./figures.js";
import { formats } from "./format.js";
import { mount as mountLists } from "./lists.js";
import { mount as mountPlots } from "./plots.js";
import { Store } from "./store.js";
import { Table } from "./table.js";
import { mount as mountTools } from "./tools.js";

async function boot() {
  if (location.search) history.replaceState(null, "", "/");
  const t = await loadTranslator();
  /** @type {any} */
  const app = { t, f: formats(t.lang), store: new Store(), dialog: new Dialogs(t) };
  app.actions = new Actions(app);
  mountTools(app);
  mountFigures(app);
  mountPlots(app);
  mountLists(app);
  app.table = new Table(app);
  app.store.on("state", (/** @type {string} */ state) => showState(t, state));
  await app.store.start();
  document.body.dataset.ready = "true";
}

/** @param {any} t @param {string} state */
function showState(t, state) {
  const banner = byId("banner");
  if (state === "lost") {
    banner.textContent = t("operator.lost");
    banner.dataset.kind = "lost";
    banner.hidden = false;
  } else if (banner.dataset.kind === "lost") {
    banner.hidden = true;
  }
}

boot();
