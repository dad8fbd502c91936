// The page's socket: says what the page shows, keeps what a swap would lose, explains when it is away.
import { showTimes } from "./times.js";

const FINAL = {
  4400: "This page could not be kept live. Reload it.",
  4401: "Your session has ended. Sign in again to see what happens.",
  4404: "This event is no longer there.",
};
const RETRIED_BY_HTMX = [1006, 1011, 1012, 1013];
const AWAY_AFTER_MS = 1500;

const page = () => document.querySelector("[data-live]");
let awayTimer = 0;

function hello() {
  if (page()?.dataset.live === "rows") {
    const rows = {};
    for (const row of document.querySelectorAll("[data-row]")) rows[row.dataset.row] = row.dataset.label;
    return { rows };
  }
  const regions = {};
  for (const region of document.querySelectorAll(".region")) regions[region.id] = region.dataset.etag;
  const last = document.querySelector("#timeline > li:last-child");
  return { regions, seq: Number(last?.dataset.seq ?? 0) };
}

function state(on, words) {
  const live = document.getElementById("live");
  live.hidden = false;
  live.dataset.state = on ? "on" : "off";
  document.getElementById("live-words").textContent = words;
}

function offline(text) {
  const banner = document.getElementById("offline");
  banner.textContent = text;
  banner.hidden = !text;
}

function title() {
  const waiting = Number(document.getElementById("counts")?.dataset.waiting ?? 0);
  const plain = document.title.replace(/^\(\d+\) /, "");
  document.title = waiting ? `(${waiting}) ${plain}` : plain;
}

// Replacing an element takes its focus, its open <details> and half-typed text with it: put them back.
let kept = null;

function keep() {
  const focus = document.activeElement;
  const fields = [...document.querySelectorAll(".region input:not([type=hidden])")].filter((field) => field.value);
  kept = {
    focus: focus && focus !== document.body ? focus.id : "",
    selection: focus instanceof HTMLInputElement ? [focus.selectionStart, focus.selectionEnd] : null,
    details: [...document.querySelectorAll("details[id]")].map((details) => [details.id, details.open]),
    fields: fields.map((field) => [`${field.getAttribute("form")} ${field.name}`, field.value]),
    rows: new Set([...document.querySelectorAll("[data-row]")].map((row) => row.id)),
  };
}

function restore() {
  if (!kept) return;
  for (const [id, open] of kept.details) {
    const details = document.getElementById(id);
    if (details) details.open = open;
  }
  for (const [key, value] of kept.fields) {
    const [form, name] = key.split(" ");
    const field = document.querySelector(`.region input[form="${form}"][name="${name}"]:not([type=hidden])`);
    if (field && !field.value) field.value = value;
  }
  const focus = kept.focus && document.getElementById(kept.focus);
  if (focus && document.activeElement !== focus) {
    focus.focus({ preventScroll: true });
    if (kept.selection && focus instanceof HTMLInputElement) focus.setSelectionRange(...kept.selection);
  }
  for (const row of document.querySelectorAll("[data-row]")) {
    if (!kept.rows.has(row.id)) row.classList.add("arrived");
  }
}

export function startLive() {
  document.addEventListener("htmx:wsOpen", (event) => {
    clearTimeout(awayTimer);
    offline("");
    state(true, "Live");
    event.detail.socketWrapper.sendImmediately(JSON.stringify(hello()));
  });
  document.addEventListener("htmx:wsClose", (event) => {
    if (event.target !== page()) return; // a filter replaced the page's socket by its own
    const code = event.detail.event.code;
    state(false, FINAL[code] ? "Not live" : "Reconnecting");
    if (FINAL[code]) {
      offline(FINAL[code]);
      return;
    }
    clearTimeout(awayTimer);
    awayTimer = setTimeout(
      () => offline("The connection is gone; this page shows what was known then. It catches up by itself when it is back."),
      AWAY_AFTER_MS,
    );
    if (!RETRIED_BY_HTMX.includes(code)) setTimeout(() => event.detail.socketWrapper.reconnect(), AWAY_AFTER_MS);
  });
  document.addEventListener("htmx:wsBeforeMessage", keep);
  document.addEventListener("htmx:wsAfterMessage", () => {
    restore();
    showTimes();
    title();
  });
  // A filter asked for after the session ended gets the login page, which belongs on a page of its own.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (new URL(event.detail.xhr.responseURL || location.href).pathname.startsWith("/login")) {
      event.detail.shouldSwap = false;
      location.reload();
    }
  });
  document.addEventListener("htmx:afterSettle", title);
  title();
}
