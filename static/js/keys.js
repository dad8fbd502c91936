// Keyboard first: keys move and focus; none of them decides anything.
import { openDialog } from "./dialogs.js";
import { openPalette } from "./palette.js";
import { nextTheme } from "./toggle.js";

const CHORD_MS = 1200;
let chordUntil = 0;

function move(step) {
  const links = [...document.querySelectorAll(".row-link")];
  const from = links.indexOf(document.activeElement);
  // Whether one can be seen asks for the layout of what it is in: of a thousand rows only the next one is asked.
  let at = from < 0 ? (step > 0 ? 0 : links.length - 1) : from + step;
  while (links[at] && !links[at].checkVisibility()) at += step;
  const next = links[at] ?? links[from];
  if (!next) return;
  next.focus({ preventScroll: true });
  (next.closest("li") ?? next).scrollIntoView({ block: "nearest" });
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
  x: () => openDialog("halt"),
  g: () => {
    chordUntil = performance.now() + CHORD_MS;
  },
  "/": () => focus("filter-text") || openPalette(),
  "?": () => openDialog("help"),
};

// A field that has just been closed away with its dialog keeps the focus until the browser paints again.
const isTypedInto = (target) => target.matches?.("input, select, textarea, [contenteditable]") && target.checkVisibility();

function onKey(event) {
  if (event.isComposing) return;
  if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
    event.preventDefault();
    openPalette();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target;
  if (event.key === "Escape" && target.matches?.("input, select, textarea") && !target.closest("dialog")) {
    target.blur();
    return;
  }
  if (isTypedInto(target) || document.querySelector("dialog.dialog[open]")) return;
  // When the key was pressed counts: a page that is busy gets to it later.
  const place = event.timeStamp < chordUntil && document.querySelector(`[data-chord="${CSS.escape(event.key)}"]`);
  chordUntil = 0;
  if (place) {
    event.preventDefault();
    location.assign(place.href);
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
}
