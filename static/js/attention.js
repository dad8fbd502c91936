// What waits for this person: beside the navigation, in the title, and as the browser's notification if they want it.
import { words } from "./words.js";

const KEY = "notify";
let known = null;

const count = (key) => Number(document.getElementById("counts-now")?.getAttribute(`data-count-${key}`) ?? 0);
const wanted = () => {
  try {
    return localStorage.getItem(KEY) === "on";
  } catch {
    return false;
  }
};

function show() {
  for (const badge of document.querySelectorAll("[data-badge]")) {
    const number = count(badge.dataset.badge);
    if (badge.textContent !== String(number)) badge.textContent = String(number);
    badge.hidden = number === 0;
  }
  // Who has agreed already waits like everybody else.
  const mine = document.body.dataset.user;
  const agreed = [...document.querySelectorAll("[data-voters]")].filter((row) => row.dataset.voters.split(" ").includes(mine));
  const waiting = Math.max(0, count("waiting") - agreed.length);
  const plain = document.title.replace(/^\(\d+\) /, "");
  const title = waiting ? `(${waiting}) ${plain}` : plain;
  if (document.title !== title) document.title = title;
  if (known !== null && waiting > known) notify(waiting);
  known = waiting;
}

function notify(waiting) {
  if (!wanted() || !document.hidden || globalThis.Notification?.permission !== "granted") return;
  const note = new Notification("ReCiSt", { body: words("waits", { count: waiting }), tag: "waiting", renotify: true });
  note.addEventListener("click", () => {
    window.focus();
    location.assign("/");
  });
}

function label(button) {
  const on = wanted() && globalThis.Notification?.permission === "granted";
  button.setAttribute("aria-pressed", String(on));
  const text = words(Notification.permission === "denied" ? "notifyBlocked" : on ? "notifyOn" : "notifyOff");
  button.setAttribute("aria-label", text);
  button.title = text;
}

async function toggle(button) {
  const on = !(wanted() && Notification.permission === "granted");
  if (on && Notification.permission !== "granted") await Notification.requestPermission();
  try {
    localStorage.setItem(KEY, on ? "on" : "off");
  } catch {
    // The choice then lasts as long as the page.
  }
  label(button);
}

export function startAttention() {
  show();
  document.addEventListener("live:settled", show);
  document.addEventListener("htmx:afterSettle", show);
  const button = document.querySelector("[data-notify]");
  if (!button || !("Notification" in window)) return;
  button.hidden = false;
  label(button);
  button.addEventListener("click", () => toggle(button));
}
