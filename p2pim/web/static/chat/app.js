// @ts-check
/** A shell, until there is a page. */
const app = document.getElementById("app");
if (app) app.textContent = "p2pim";
