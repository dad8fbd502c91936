// An event that is over, as it stood after each entry of its timeline. Everything is in the page: entries with their
// times, the runs of each phase, and on what came to be known later, since when (data-from).
import { duration } from "./times.js";

const STEP_MS = 900;
const TOGETHER_MS = 250;
let playing = 0;

const event = () => document.getElementById("event");
const slider = () => document.getElementById("replay-at");
const entries = () => [...document.querySelectorAll("#timeline > li")];
const timeOf = (entry) => Date.parse(entry.querySelector("time").dateTime);

function clocks(at, isEnd) {
  for (const card of document.querySelectorAll(".phase-card[data-runs]")) {
    let seconds = 0;
    let runs = 0;
    let open = "";
    for (const run of card.dataset.runs.trim().split(" ").filter(Boolean)) {
      const [start, end, waits] = run.split(",").map(Number);
      if (start > at) continue;
      if (!waits) seconds += (Math.min(at, end) - start) / 1000;
      runs += 1;
      if (end > at) open = waits ? "waiting" : "running";
    }
    const total = Number(card.dataset.elapsed);
    const shown = isEnd ? total : Math.min(seconds, total);
    const clock = card.querySelector(".clock");
    const time = card.querySelector(".clock-time");
    card.dataset.end ??= time.textContent;
    const share = Math.min(100, (shown / Number(card.dataset.budget)) * 100);
    clock.querySelector(".clock-fill").setAttribute("width", `${share.toFixed(1)}%`);
    time.textContent = isEnd ? card.dataset.end : runs ? duration(shown) : "–";
    if (!isEnd && open) card.setAttribute("aria-current", "step");
    else card.removeAttribute("aria-current");
    card.classList.toggle("phase-card-later", !isEnd && !runs);
  }
}

function show(seq) {
  const all = entries();
  const current = all.find((entry) => Number(entry.dataset.seq) === seq) ?? all.at(-1);
  const isEnd = current === all.at(-1);
  const at = timeOf(current);
  // What is written down with an entry may be a moment younger than the entry.
  const next = all[all.indexOf(current) + 1];
  const known = next ? Math.max(at, Math.min(at + TOGETHER_MS, timeOf(next) - 1)) : Infinity;
  event().classList.toggle("replaying", !isEnd);
  for (const entry of all) {
    entry.classList.toggle("not-yet", Number(entry.dataset.seq) > seq);
    if (entry === current && !isEnd) entry.setAttribute("aria-current", "true");
    else entry.removeAttribute("aria-current");
  }
  for (const element of document.querySelectorAll("#event [data-from]")) {
    const from = Date.parse(element.dataset.from);
    element.classList.toggle("not-yet", !isEnd && from > known); // without a time (NaN) it was always there
  }
  clocks(at, isEnd);
  const phase = document.getElementById("story-phase");
  phase.dataset.end ??= phase.textContent;
  phase.textContent = isEnd ? phase.dataset.end : current.dataset.phase;
  const text = current.querySelector(".entry-text").textContent;
  const clock = current.querySelector("time").textContent;
  document.getElementById("replay-says").textContent = isEnd ? "" : `${clock}  ${text}`;
  document.getElementById("replay-end").hidden = isEnd;
  slider().setAttribute("aria-valuetext", `${seq} / ${slider().max}, ${clock}: ${text}`);
  if (!isEnd) {
    // Only the list scrolls: who drags the slider must not lose it.
    const side = document.querySelector(".side-column");
    const below = current.getBoundingClientRect().top - side.getBoundingClientRect().top;
    side.scrollTop += below - side.clientHeight / 2;
  }
}

function stop() {
  clearInterval(playing);
  playing = 0;
  document.getElementById("replay-play")?.setAttribute("aria-pressed", "false");
}

function play() {
  if (playing) return stop();
  const range = slider();
  if (range.value === range.max) range.value = range.min;
  show(Number(range.value));
  document.getElementById("replay-play").setAttribute("aria-pressed", "true");
  playing = setInterval(() => {
    const now = slider();
    now.value = String(Number(now.value) + 1);
    show(Number(now.value));
    if (now.value === now.max) stop();
  }, STEP_MS);
}

function end() {
  stop();
  slider().value = slider().max;
  show(Number(slider().max));
  slider().focus();
}

/** Offer the replay where the event is over; again when the region was sent anew. */
export function startReplay() {
  const replay = document.getElementById("replay");
  if (!replay || !replay.hidden || entries().length < 2) return;
  replay.hidden = false;
  slider().addEventListener("input", () => {
    stop();
    show(Number(slider().value));
  });
  document.getElementById("replay-play").addEventListener("click", play);
  document.getElementById("replay-end").addEventListener("click", end);
  slider().value = slider().max;
  show(Number(slider().max));
}
