// The page's socket: says what the page shows, and explains when it is away. `patch.js` puts in what it brings.
import { isSettled, patch } from "./patch.js";
import { words } from "./words.js";

const FINAL = { 4400: "badRequest", 4401: "signedOut", 4404: "notFound" };
const AWAY_AFTER_MS = 1500;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 15000;
const BACK_SHOWN_MS = 4000;

let socket = null;
let page = null;
let tries = 0;
let wasAway = false;
let awayTimer = 0;
let retryTimer = 0;

function hello() {
  const frame = {};
  for (const region of document.querySelectorAll(".frame-region")) frame[region.id] = region.dataset.etag;
  if (page.dataset.live === "rows") {
    const rows = {};
    for (const row of document.querySelectorAll("[data-row]")) rows[row.dataset.row] = row.dataset.label;
    return { frame, rows };
  }
  if (page.dataset.live !== "event") return { frame };
  const regions = {};
  for (const region of document.querySelectorAll(".region")) regions[region.id] = region.dataset.etag;
  const last = document.querySelector("#timeline > li:last-child");
  return { frame, regions, seq: Number(last?.dataset.seq ?? 0) };
}

function state(on, text) {
  const live = document.getElementById("live");
  if (!live) return;
  live.hidden = false;
  live.dataset.state = on ? "on" : "off";
  document.getElementById("live-words").textContent = text;
}

function banner(text, { back = false, retry = false } = {}) {
  const element = document.getElementById("offline");
  element.textContent = text;
  element.classList.toggle("back", back);
  element.hidden = !text;
  if (retry) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = words("retry");
    button.addEventListener("click", connect);
    element.append(button);
  }
}

// What was sent while the page still puts in earlier messages must not be said to be missing again.
async function settled() {
  if (!isSettled()) await new Promise((resolve) => document.addEventListener("live:settled", resolve, { once: true }));
}

async function opened(mine) {
  await settled();
  if (mine !== socket || mine.readyState !== WebSocket.OPEN) return;
  mine.send(JSON.stringify(hello()));
  clearTimeout(awayTimer);
  tries = 0;
  state(true, words("live"));
  if (wasAway) {
    wasAway = false;
    banner(words("caughtUp"), { back: true });
    setTimeout(() => banner(""), BACK_SHOWN_MS);
  } else banner("");
}

function closed(mine, code) {
  if (mine !== socket) return; // a filter replaced the page's socket by its own
  state(false, words(FINAL[code] ? "notLive" : "reconnecting"));
  document.dispatchEvent(new CustomEvent("live:closed", { detail: { code } }));
  if (FINAL[code]) {
    banner(words(FINAL[code]));
    return;
  }
  if (!awayTimer || !wasAway) {
    clearTimeout(awayTimer);
    awayTimer = setTimeout(() => {
      wasAway = true;
      banner(words("offline"), { retry: true });
    }, AWAY_AFTER_MS);
  }
  // Everybody's connection ends when a server is restarted: they must not all come back in the same moment.
  const wait = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** tries) * (0.5 + Math.random() / 2);
  tries += 1;
  clearTimeout(retryTimer);
  retryTimer = setTimeout(connect, wait);
}

function connect() {
  clearTimeout(retryTimer);
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const mine = new WebSocket(`${scheme}//${location.host}${page.dataset.socket}`);
  const old = socket;
  socket = mine;
  old?.close();
  mine.addEventListener("open", () => opened(mine));
  mine.addEventListener("message", (event) => mine === socket && patch(event.data));
  mine.addEventListener("close", (event) => closed(mine, event.code));
}

/** Keep the page fresh that is there now; again after a filter has replaced it. */
function follow() {
  const found = document.querySelector("[data-socket]");
  if (!found || found === page) return;
  page = found;
  tries = 0;
  connect();
}

// What was typed after a page was asked for is not in the answer, which would take it out of the field: it is asked
// for itself in a moment.
function keepTyped(event) {
  const field = document.getElementById("filter-text");
  const { elt, parameters } = event.detail.requestConfig;
  if (!field || !elt.matches("#filters, #map-look")) return;
  if (field.value !== (parameters.text ?? field.defaultValue)) event.detail.shouldSwap = false;
}

export function startLive() {
  follow();
  document.addEventListener("htmx:afterSettle", follow);
  addEventListener("online", () => socket?.readyState === WebSocket.CLOSED && connect());
  // A page that comes back out of the browser's own cache has lost its socket.
  addEventListener("pageshow", (event) => event.persisted && connect());
  // A filter asked for after the session ended gets the login page, which belongs on a page of its own.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (new URL(event.detail.xhr.responseURL || location.href).pathname.startsWith("/login")) {
      event.detail.shouldSwap = false;
      location.reload();
    }
  });
  document.addEventListener("htmx:beforeSwap", keepTyped);
  for (const name of ["htmx:sendError", "htmx:timeout"]) document.addEventListener(name, () => banner(words("failed")));
  document.addEventListener("htmx:responseError", (event) =>
    banner(words(event.detail.xhr.status === 403 ? "refused" : "failed")),
  );
}
