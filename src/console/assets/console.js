// The shell: which page is shown, what the address says, when data is asked for again.

import { h, icon } from "./dom.js";
import { graphPage } from "./graph.js";
import { applicationPage, applicationsPage, overviewPage } from "./pages.js";

const BASE = "/kiali/console";
const main = document.getElementById("main");
const statusLine = document.getElementById("status");

/** What is asked of the API and of the drawing; kept in the address, so that a page can be passed on. */
const DEFAULTS = {
  namespaces: "",
  window: "1m",
  by: "versioned-app",
  refresh: "5",
  idle: "true",
  waypoints: "false",
  security: "false",
  animation: "true",
  rates: "true",
  shares: "true",
  times: "false",
  boxes: "true",
};

const params = () => new URLSearchParams(location.search);
const setting = (name) => params().get(name) ?? localStorage.getItem(`console.${name}`) ?? DEFAULTS[name];

function set(name, value) {
  const query = params();
  if (String(value) === DEFAULTS[name]) query.delete(name);
  else query.set(name, value);
  if (name !== "namespaces") localStorage.setItem(`console.${name}`, value);
  const text = query.toString().replaceAll("%2C", ",");
  history.replaceState(null, "", location.pathname + (text ? `?${text}` : ""));
}

async function ask(path, query = {}) {
  const url = new URL(`/kiali/api/${path}`, location.origin);
  for (const [name, value] of Object.entries(query)) if (value !== "") url.searchParams.set(name, value);
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error ?? `the console answered ${response.status}`);
  return answer;
}

let page, timer, generation = 0;

function say(kind, ...words) {
  statusLine.className = `status ${kind}`;
  statusLine.replaceChildren(...words);
}

/** Asks for what the page shows, shows it, and does so again after a while, as long as anybody looks. */
async function refresh() {
  clearTimeout(timer);
  const mine = generation, current = page;
  try {
    const data = await current.load();
    if (mine !== generation) return;
    current.show(data);
    main.classList.remove("stale");
    say("live", h("i", { class: "dot" }), new Date().toLocaleTimeString());
  } catch (error) {
    if (mine !== generation) return;
    main.classList.add("stale");
    say("lost", icon("warn"), ` ${error.message || "no answer"}; trying again`);
  }
  const seconds = Number(setting("refresh"));
  if (seconds > 0 && !document.hidden) timer = setTimeout(refresh, seconds * 1000);
}

const context = { ask, setting, set, refresh, go };

/** A part of the address as it was before it was quoted; what is quoted badly stays as it is. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function open() {
  generation++;
  const [name, ...rest] = location.pathname.slice(BASE.length + 1).split("/").map(decoded);
  const make = name === "graph"
    ? graphPage
    : name === "applications"
    ? applicationsPage
    : name === "namespaces" && rest[1] === "applications" && rest[2]
    ? (ctx) => applicationPage(ctx, rest[0], rest[2])
    : overviewPage;
  page = make(context);
  for (const link of document.querySelectorAll("#nav a")) {
    const current = link.dataset.page === page.name;
    link.toggleAttribute("aria-current", current);
    if (current) link.setAttribute("aria-current", "page");
  }
  document.title = `${page.title} · ambientd console`;
  main.className = `page-${page.name}`;
  main.replaceChildren(page.element);
  refresh();
}

/** Follows a link within the console; what was chosen goes along. */
function go(href) {
  history.pushState(null, "", href);
  open();
  main.focus({ preventScroll: true });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const url = new URL(link.getAttribute("href"), location.href);
  if (url.origin !== location.origin || !url.pathname.startsWith(BASE)) return;
  event.preventDefault();
  if (!url.searchParams.has("namespaces") && params().has("namespaces")) {
    url.searchParams.set("namespaces", params().get("namespaces"));
  }
  go(url.pathname + url.search.replaceAll("%2C", ","));
});
addEventListener("popstate", open);
document.addEventListener("visibilitychange", () => document.hidden ? clearTimeout(timer) : refresh());
// Menus close when somebody clicks or leaves elsewhere.
document.addEventListener("pointerdown", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

const SCHEMES = ["auto", "light", "dark"];
const themeButton = document.getElementById("theme");
function applyScheme() {
  const scheme = localStorage.getItem("console.scheme") ?? "auto";
  if (scheme === "auto") delete document.documentElement.dataset.scheme;
  else document.documentElement.dataset.scheme = scheme;
  themeButton.replaceChildren(icon(scheme === "dark" ? "moon" : scheme === "light" ? "sun" : "auto"));
  themeButton.title = scheme === "auto" ? "Colours: as the system has them" : `Colours: ${scheme}`;
}
themeButton.addEventListener("click", () => {
  const now = localStorage.getItem("console.scheme") ?? "auto";
  localStorage.setItem("console.scheme", SCHEMES[(SCHEMES.indexOf(now) + 1) % SCHEMES.length]);
  applyScheme();
});
applyScheme();

if (location.pathname === "/kiali/" || location.pathname === BASE || location.pathname === `${BASE}/`) {
  history.replaceState(null, "", `${BASE}/overview${location.search}`);
}
open();
