// Puts what a socket sends into the page, a little at a time, so that neither keys nor scrolling ever wait for it.
import { showTimes } from "./times.js";

const BUDGET_MS = 8;
/** What waits to be put in, by what it concerns, in the order it came. */
const queue = new Map();
let scheduled = false;
let unnamed = 0;

const next = () =>
  new Promise((resolve) => {
    // Frames stop in the background, and a page that is looked at again should not have to catch up first.
    if (document.hidden) setTimeout(resolve, 50);
    else requestAnimationFrame(resolve);
  });

/** Take over a message. A row that waits and is sent again is put in once, as it was sent last. */
export function patch(html) {
  const holder = document.createElement("template");
  holder.innerHTML = html;
  for (const element of [...holder.content.children]) {
    const how = element.getAttribute("hx-swap-oob") ?? "true";
    // Only what replaces a thing makes an earlier replacement of it needless; the rest keeps its place in the order.
    const key = how === "true" && element.id ? element.id : `#${(unnamed += 1)}`;
    if (key !== element.id) for (const one of [element, ...element.children]) queue.delete(one.id);
    queue.set(key, element);
  }
  if (!scheduled) {
    scheduled = true;
    drain();
  }
}

/** Whether everything that was sent is on the screen. */
export const isSettled = () => !scheduled;

async function drain() {
  while (queue.size) {
    await next();
    const started = performance.now();
    for (const [key, element] of queue) {
      queue.delete(key);
      put(element);
      if (performance.now() - started > BUDGET_MS) break;
    }
  }
  scheduled = false;
  document.dispatchEvent(new CustomEvent("live:settled"));
}

function put(element) {
  const how = element.getAttribute("hx-swap-oob") ?? "true";
  element.removeAttribute("hx-swap-oob");
  const [where, selector] = how.split(/:(.*)/);
  if (where === "true") replace(document.getElementById(element.id), element);
  else if (where === "delete") remove(document.getElementById(element.id));
  else insert(where, document.querySelector(selector), [...element.children]);
}

function remove(old) {
  if (!old) return;
  const row = old.contains(document.activeElement) ? (old.nextElementSibling ?? old.previousElementSibling) : null;
  old.remove();
  // Who walks through the rows goes on where the row was.
  row?.querySelector(".row-link")?.focus({ preventScroll: true });
}

function insert(where, anchor, elements) {
  if (!anchor) return;
  for (const element of where === "afterend" ? elements.reverse() : elements) {
    const there = element.id && document.getElementById(element.id);
    if (there) {
      replace(there, element);
      continue;
    }
    anchor.insertAdjacentElement(where, element);
    if (element.matches(".row")) element.classList.add("arrived");
    after(element);
  }
}

// Replacing an element takes its focus, its open <details> and half-typed text with it: put them back.
function replace(old, fresh) {
  if (!old) return;
  if (old.matches(".row")) {
    // A row stays the element it is: the browser remembers how high it is, and that it need not draw it.
    renew(old, fresh);
    after(old);
    return;
  }
  const focus = old.contains(document.activeElement) ? document.activeElement : null;
  const selection = focus instanceof HTMLInputElement ? [focus.selectionStart, focus.selectionEnd] : null;
  const details = [...old.querySelectorAll("details[id]")].map((one) => [one.id, one.open]);
  const typed = [...old.querySelectorAll("input:not([type=hidden]), textarea")].filter((field) => field.value);
  const where = old.parentElement?.id;
  old.replaceWith(fresh);
  for (const [id, open] of details) {
    const one = document.getElementById(id);
    if (one) one.open = open;
  }
  for (const field of typed) {
    const same = [...fresh.querySelectorAll("input:not([type=hidden]), textarea")].find(
      (other) => other.name === field.name && other.getAttribute("form") === field.getAttribute("form"),
    );
    if (same && !same.value) same.value = field.value;
  }
  const target = focus?.id && document.getElementById(focus.id);
  if (target && where !== undefined) {
    target.focus({ preventScroll: true });
    if (selection && target instanceof HTMLInputElement) target.setSelectionRange(...selection);
  }
  after(fresh);
}

// Make `old` what `fresh` is, touching only what differs.
function renew(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  const parts = [...fresh.children];
  const alike = old.children.length === parts.length && parts.every((part, at) => part.tagName === old.children[at].tagName);
  // Text beside elements is not told apart from the white space between them.
  if (!alike || (parts.length && saysItself(old) !== saysItself(fresh))) {
    old.replaceWith(fresh);
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (parts.length) parts.forEach((part, at) => renew(old.children[at], part));
  else if (old.textContent !== fresh.textContent) old.textContent = fresh.textContent;
}

const saysItself = (element) =>
  [...element.childNodes].map((node) => (node.nodeType === Node.TEXT_NODE ? node.data.trim() : "")).join("\n");

function after(element) {
  showTimes(element);
  if (element.querySelector("[hx-get], [hx-post]")) window.htmx?.process(element);
}
