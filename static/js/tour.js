// The demo's guided tour: a small card that points at one thing after the other. Esc or "Skip" ends it for good.
const KEY = "tour";
let at = 0;

const card = () => document.getElementById("tour");
const steps = () => [...card().querySelectorAll("template[data-tour-step]")];

function unmark() {
  for (const marked of document.querySelectorAll(".tour-target")) marked.classList.remove("tour-target");
}

function show() {
  const all = steps();
  const step = all[at];
  unmark();
  const target = step.dataset.tourStep
    .split(",")
    .map((selector) => document.querySelector(selector.trim()))
    .find(Boolean);
  target?.classList.add("tour-target");
  target?.scrollIntoView({ block: "nearest" });
  document.getElementById("tour-title").textContent = step.dataset.title;
  document.getElementById("tour-text").textContent = step.content.textContent;
  card().querySelector(".tour-count").textContent = `${at + 1} / ${all.length}`;
  card().querySelector("[data-tour-back]").disabled = at === 0;
  const next = card().querySelector("[data-tour-next]");
  next.dataset.word ??= next.textContent;
  next.textContent = at === all.length - 1 ? next.dataset.last : next.dataset.word;
}

function start() {
  at = 0;
  if (!card().open) card().show();
  show();
  card().querySelector("[data-tour-next]").focus();
}

function end() {
  unmark();
  card().close();
  try {
    localStorage.setItem(KEY, "seen");
  } catch {
    // It is offered again next time.
  }
}

function step(by) {
  at += by;
  if (at >= steps().length) end();
  else show();
}

function seen() {
  try {
    return localStorage.getItem(KEY) === "seen";
  } catch {
    return true;
  }
}

export function startTour() {
  const again = document.querySelector("[data-tour]");
  if (!card() || !again) return;
  again.hidden = false;
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-tour]")) start();
    if (event.target.closest("[data-tour-end]")) end();
    if (event.target.closest("[data-tour-next]")) step(1);
    if (event.target.closest("[data-tour-back]")) step(-1);
  });
  document.addEventListener("keydown", (event) => {
    if (!card()?.open || document.querySelector("dialog.dialog[open]")) return;
    if (event.key === "Escape") end();
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft" && at > 0) step(-1);
  });
  if (!seen()) start();
}
