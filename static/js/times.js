import { words } from "./words.js";

// Local times, ages, countdowns and running clocks. The server's clock counts: the page says what it was.
const SOON_SECONDS = 120;

const serverNow = Date.parse(document.querySelector('meta[name="server-now"]')?.content ?? "");
const aheadMs = Number.isNaN(serverNow) ? 0 : Date.now() - serverNow;
const now = () => Date.now() - aheadMs;

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dateFormat = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

export function duration(seconds) {
  const value = Math.max(0, seconds);
  if (value < 9.95) return `${value.toFixed(1)} s`;
  const whole = Math.round(value);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} m`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

function age(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

const relative = new Intl.RelativeTimeFormat(document.documentElement.lang || undefined, { style: "narrow" });

function ago(seconds) {
  if (seconds > -60) return relative.format(Math.min(0, Math.round(seconds)), "second");
  if (seconds > -3600) return relative.format(Math.trunc(seconds / 60), "minute");
  if (seconds > -86400) return relative.format(Math.trunc(seconds / 3600), "hour");
  return relative.format(Math.trunc(seconds / 86400), "day");
}

const two = (number) => String(number).padStart(2, "0");

function left(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  if (whole >= 2 * 86400) return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
  if (whole >= 3600) return `${Math.floor(whole / 3600)}:${two(Math.floor((whole % 3600) / 60))}:${two(whole % 60)}`;
  return `${Math.floor(whole / 60)}:${two(whole % 60)}`;
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function showTime(element) {
  const at = Date.parse(element.dateTime);
  if (Number.isNaN(at)) return;
  switch (element.dataset.style) {
    case "age":
      say(element, age((now() - at) / 1000));
      break;
    case "ago":
      say(element, ago((at - now()) / 1000));
      break;
    case "countdown": {
      const seconds = (at - now()) / 1000;
      say(element, seconds > 0 ? left(seconds) : words("expired"));
      element.classList.toggle("soon", seconds < SOON_SECONDS);
      break;
    }
    case "clock":
      say(element, clockFormat.format(at));
      break;
    default: {
      const day = dateFormat.format(at);
      say(element, day === dateFormat.format(now()) ? clockFormat.format(at) : `${day}, ${clockFormat.format(at)}`);
    }
  }
}

function showClock(element) {
  const seconds = Number(element.dataset.settled) + Math.max(0, now() - Date.parse(element.dataset.since)) / 1000;
  const budget = Number(element.dataset.budget);
  say(element.querySelector(".clock-time"), duration(seconds));
  element.querySelector(".clock-fill").setAttribute("width", `${Math.min(100, (seconds / budget) * 100).toFixed(1)}%`);
  element.classList.toggle("clock-over", seconds > budget);
}

const MOVING = 'time[data-style="age"], time[data-style="ago"], time[data-style="countdown"], .clock[data-since]';

/** Bring what stands below `root` into the reader's terms: once for fixed times, again each second for others. */
export function showTimes(root = document) {
  root.querySelectorAll("time[data-style]").forEach(showTime);
  root.querySelectorAll(".clock[data-since]").forEach(showClock);
  root.querySelectorAll(MOVING).forEach((element) => watcher.observe(element.closest(".row") ?? element));
}

// Of a thousand rows most are not on the screen: only those that are have to tick, and a row is watched as one.
const onScreen = new Set();
const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) onScreen.add(entry.target);
      else onScreen.delete(entry.target);
    }
  },
  { rootMargin: "100px" },
);

function show(element) {
  if (element.matches("time")) showTime(element);
  else showClock(element);
}

function tick() {
  if (document.hidden) return;
  for (const element of onScreen) {
    if (!element.isConnected) {
      onScreen.delete(element);
      watcher.unobserve(element);
    } else if (element.matches(".row")) element.querySelectorAll(MOVING).forEach(show);
    else show(element);
  }
}

export function startTimes() {
  showTimes();
  setInterval(tick, 500);
  document.addEventListener("visibilitychange", tick);
  document.addEventListener("htmx:afterSettle", () => showTimes());
}
