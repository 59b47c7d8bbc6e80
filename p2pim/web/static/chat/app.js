// @ts-check
/** The chat page: makes what all features share, reads what the agent knows, and mounts the features. */

import * as dom from "../common/dom.js";
import { loadTranslator } from "../common/i18n.js";
import { Api } from "./api.js";
import { Dialogs, toast } from "./dialog.js";
import { Events } from "./events.js";
import { load } from "./load.js";
import { Panel } from "./panel.js";
import { Buttons } from "./slots.js";
import { State } from "./state.js";
import { Timeline } from "./timeline.js";
import { mount as mountFiles } from "./files/mount.js";

/** Features in the order in which they are mounted. @type {((app: any) => void)[]} */
const FEATURES = [mountFiles];

/** What features get; `static/chat/*.js` say more about each part. */
async function boot() {
  const t = await loadTranslator();
  const state = new State();
  const api = new Api({ onUnauthorized: () => { state.agent = "refused"; state.touch("agent"); } });
  const app = {
    api,
    dom,
    events: new Events(),
    state,
    t,
    lang: t.lang,
    dialog: new Dialogs(t),
    toast,
    panel: new Panel(t),
    menu: new Buttons(dom.byId("main-menu")),
    actions: new Buttons(dom.byId("conversation-actions")),
    timeline: new Timeline(),
    /** What one feature does for others: `commands.verify(user)` and the like. @type {Record<string, (...args: any[]) => any>} */
    commands: {},
    /** Parts of the settings dialog: {key, title, render(): Element, order}. @type {any[]} */
    settingsSections: [],
    get me() { return state.me; },
  };
  for (const mount of FEATURES) mount(app);
  state.on("current", () => app.actions.update(state.current));
  app.actions.update(null);
  await load(app);
  document.body.dataset.ready = "true";
}

boot();
