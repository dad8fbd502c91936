// Ctrl/Cmd-K: pages and actions of this page at once, events and workloads as one types.
import { openDialog } from "./dialogs.js";
import { nextTheme } from "./toggle.js";
import { words } from "./words.js";

const WAIT_MS = 120;
let items = [];
let at = 0;
let asked = 0;
let timer = 0;

const dialog = () => document.getElementById("palette");
const field = () => document.getElementById("palette-text");
const list = () => document.getElementById("palette-list");

function here() {
  const pages = [...document.querySelectorAll("[data-place]")].map((link) => ({
    group: words("pages"),
    title: link.querySelector(".place-name").textContent,
    hint: link.dataset.chord ? `g ${link.dataset.chord}` : "",
    run: () => location.assign(link.href),
  }));
  const buttons = document.querySelectorAll("[data-open=halt], [data-open=help], [data-reveal], [data-notify], [data-tour], [data-command]");
  const actions = [...buttons]
    .filter((button) => !button.hidden)
    .map((button) => ({
      group: words("actions"),
      title: (button.getAttribute("aria-label") || button.title || button.textContent).trim(),
      hint: "",
      run: () => button.click(),
    }));
  actions.push({ group: words("actions"), title: `${words("colours")} ${words("dark")} / ${words("light")}`, hint: "t", run: nextTheme });
  return [...pages, ...actions];
}

const matches = (item, text) =>
  text
    .toLowerCase()
    .split(/\s+/)
    .every((word) => item.title.toLowerCase().includes(word));

function draw() {
  const rows = [];
  let group = "";
  items.forEach((item, index) => {
    if (item.group !== group) {
      group = item.group;
      const head = document.createElement("li");
      head.className = "palette-group";
      head.setAttribute("role", "presentation");
      head.textContent = group;
      rows.push(head);
    }
    const row = document.createElement("li");
    row.className = "palette-item";
    row.id = `palette-${index}`;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(index === at));
    for (const text of [item.title, item.hint]) row.append(Object.assign(document.createElement("span"), { textContent: text }));
    row.addEventListener("click", () => run(index));
    rows.push(row);
  });
  if (!items.length) {
    const none = document.createElement("li");
    none.className = "palette-empty";
    none.setAttribute("role", "option");
    none.setAttribute("aria-disabled", "true");
    none.textContent = words("nothing");
    rows.push(none);
  }
  list().replaceChildren(...rows);
  choose(at);
  document.getElementById("palette-says").textContent = words("results", { count: items.length });
}

function choose(index) {
  at = Math.max(0, Math.min(items.length - 1, index));
  for (const row of list().querySelectorAll(".palette-item")) {
    const chosen = row.id === `palette-${at}`;
    row.setAttribute("aria-selected", String(chosen));
    if (chosen) row.scrollIntoView({ block: "nearest" });
  }
  if (items.length) field().setAttribute("aria-activedescendant", `palette-${at}`);
  else field().removeAttribute("aria-activedescendant");
}

function run(index) {
  const item = items[index];
  if (!item) return;
  dialog().close();
  if (item.url) location.assign(item.url);
  else item.run();
}

function look() {
  const text = field().value.trim();
  const mine = ++asked;
  at = 0;
  items = here().filter((item) => matches(item, text));
  draw();
  clearTimeout(timer);
  if (!text) return;
  timer = setTimeout(async () => {
    try {
      const response = await fetch(`${field().dataset.source}?text=${encodeURIComponent(text)}`);
      const found = (await response.json()).items;
      if (mine !== asked) return;
      items = [...found, ...here().filter((item) => matches(item, text))];
      draw();
    } catch {
      // Pages and actions are there all the same; the banner says that the server is away.
    }
  }, WAIT_MS);
}

function onKey(event) {
  const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (move) choose((at + move + items.length) % Math.max(1, items.length));
  else if (event.key === "Enter") run(at);
  else return;
  event.preventDefault();
}

export function openPalette() {
  if (document.querySelector("dialog.dialog[open]") || !openDialog("palette")) return;
  field().value = "";
  look();
}

export function startPalette() {
  if (!dialog()) return;
  field().addEventListener("input", look);
  field().addEventListener("keydown", onKey);
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-open=palette]")) look();
  });
}
