// A plain script in <head>, before anything is drawn: the theme that the person chose, if not the system's.
(() => {
  try {
    const theme = localStorage.getItem("p2pim.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch { /* without storage the system's theme holds */ }
})();
