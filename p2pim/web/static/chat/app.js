// @ts-check
/** The chat page: makes what all features share, mounts the features, and reads what the agent knows. */

import * as dom from "../common/dom.js";
import { loadTranslator } from "../common/i18n.js";
import { Api } from "./api.js";
import { mount as mountBanner } from "./banner.js";
import { mount as mountBar } from "./bar.js";
import { mount as mountComposer } from "./composer.js";
import { mount as mountContacts } from "./contacts.js";
import { mount as mountDetails } from "./details.js";
import { Dialogs, toast } from "./dialog.js";
import { Events } from "./events.js";
import { mount as mountFiles } from "./files/mount.js";
import { mount as mountGroups } from "./groups.js";
import { mount as mountHead } from "./head.js";
import { mount as mountHeader } from "./header.js";
import { mount as mountHistory } from "./history.js";
import { load } from "./load.js";
import { mount as mountLook } from "./look.js";
import { mount as mountMessageMenu } from "./messagemenu.js";
import { mount as mountNewChat } from "./newchat.js";
import { mount as mountNotify } from "./notify.js";
import { mount as mountOpen } from "./open.js";
import { mount as mountOutgoing } from "./outgoing.js";
import { Panel } from "./panel.js";
import { mount as mountRail } from "./rail.js";
import { mount as mountRead } from "./read.js";
import { mount as mountSearch } from "./search.js";
import { mount as mountShortcuts } from "./shortcuts.js";
import { Buttons } from "./slots.js";
import { State } from "./state.js";
import { mount as mountSwitcher } from "./switcher.js";
import { Timeline } from "./timeline.js";
import { mount as mountTyping } from "./typing.js";

/** Features in the order in which they are mounted; the address is looked at last. @type {((app: any) => void)[]} */
const FEATURES = [
  mountContacts, mountGroups, mountHead, mountSearch, mountRail, mountHeader, mountBar, mountOutgoing, mountHistory,
  mountMessageMenu, mountComposer, mountRead, mountTyping, mountBanner, mountNotify, mountNewChat, mountDetails,
  mountSwitcher, mountShortcuts, mountLook, mountFiles, mountOpen,
];

/** What features get; the modules say more about each part. @param {any} t */
function makeApp(t) {
  const state = new State();
  return {
    api: new Api({ onUnauthorized: () => { state.agent = "refused"; state.touch("agent"); } }),
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
    /** What one feature does for others: `commands.open(user)` and the like. @type {Record<string, (...args: any[]) => any>} */
    commands: {},
    /** Parts of the settings dialog: {key, title, render(): Element, order}. @type {any[]} */
    settingsSections: [],
    get me() { return state.me; },
  };
}

async function boot() {
  const app = makeApp(await loadTranslator());
  for (const mount of FEATURES) mount(app);
  app.state.on("current", () => app.actions.update(app.state.current));
  app.actions.update(null);
  await load(app);
  document.body.dataset.ready = "true";
}

boot();
