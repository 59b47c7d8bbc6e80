// @ts-check
/** Which conversation is open: the address of the page says it, so that going back and reloading do what they should. */

/** @param {any} app */
export function mount(app) {
  const { state, panel } = app;
  const wide = matchMedia("(min-width: 45rem)");

  const named = () => {
    try {
      return decodeURIComponent(location.hash.replace(/^#\/?/u, "")) || null;
    } catch {
      return null;
    }
  };
  const show = () => {
    const user = named();
    if (user !== state.current) panel.close();
    state.open(user);
    document.body.dataset.pane = user === null ? "list" : "conversation";
  };

  /** Open a conversation. @param {string} user @param {{write?: boolean}} [options] whether the person goes on to write */
  app.commands.open = (user, { write = false } = {}) => {
    if (user !== named()) history.pushState(null, "", `#/${encodeURIComponent(user)}`);
    show();
    document.body.dataset.pane = "conversation";
    if (write && matchMedia("(pointer: fine)").matches) app.composer.focusSoon();
  };
  /** Back to the list. */
  app.commands.close = () => {
    const { current } = state;
    history.pushState(null, "", location.pathname + location.search);
    show();
    app.commands.focusList(current);
  };
  addEventListener("popstate", show);
  addEventListener("hashchange", show);
  wide.addEventListener("change", show);
  show();
}
