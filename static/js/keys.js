// Keyboard first: keys move and focus; none of them decides anything.
import { nextTheme } from "./toggle.js";

const GO = { n: "/", h: "/history/", p: "/policies/" };
const CHORD_MS = 1200;
let chordUntil = 0;

function move(step) {
  const links = [...document.querySelectorAll(".row-link")];
  if (!links.length) return;
  const at = links.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + step));
  links[next].focus();
  links[next].closest("li")?.scrollIntoView({ block: "nearest" });
}

function focus(id) {
  const element = document.getElementById(id);
  if (!element) return false;
  element.scrollIntoView({ block: "center" });
  element.focus({ focusVisible: true });
  return true;
}

const ACTIONS = {
  j: () => move(1),
  k: () => move(-1),
  a: () => focus("approve"),
  r: () => focus("reject-reason"),
  t: () => nextTheme(),
  g: () => {
    chordUntil = Date.now() + CHORD_MS;
  },
  "/": () => focus("filter-text"),
  "?": () => document.getElementById("help").showModal(),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const target = event.target;
  if (event.key === "Escape" && target.matches?.("input, select")) {
    target.blur();
    return;
  }
  if (target.matches?.("input, select, textarea, [contenteditable]") || document.querySelector("dialog[open]")) return;
  if (Date.now() < chordUntil && GO[event.key]) {
    chordUntil = 0;
    event.preventDefault();
    location.assign(GO[event.key]);
    return;
  }
  const action = ACTIONS[event.key];
  if (action) {
    event.preventDefault();
    action();
  }
}

export function startKeys() {
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-open-help]")) document.getElementById("help").showModal();
  });
}
