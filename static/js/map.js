// The map: asks now and then whether it has changed, walks the tiles with the arrow keys, shows who calls whom.
const LOOK_MS = 4000;

const map = () => document.getElementById("map");

// Not while somebody types, nor in a tab nobody sees; the answer is empty as long as nothing has changed.
function look() {
  const typing = document.activeElement?.id === "filter-text" && document.activeElement.value !== document.activeElement.defaultValue;
  const search = document.activeElement?.matches?.(".around-form input");
  if (map() && !typing && !search && document.visibilityState === "visible" && !document.querySelector(".htmx-request")) {
    document.getElementById("map-look").dispatchEvent(new CustomEvent("map:look", { bubbles: false }));
  }
}

// The tile whose middle is nearest in the direction of the arrow; a step sideways costs more than one straight on.
function neighbour(from, [dx, dy]) {
  const middle = (box) => [box.left + box.width / 2, box.top + box.height / 2];
  const [x, y] = middle(from.closest(".tile").getBoundingClientRect());
  let best = null;
  let least = Infinity;
  for (const link of document.querySelectorAll(".tile .row-link")) {
    if (link === from) continue;
    const [tx, ty] = middle(link.closest(".tile").getBoundingClientRect());
    const along = (tx - x) * dx + (ty - y) * dy;
    const aside = Math.abs((tx - x) * dy) + Math.abs((ty - y) * dx);
    if (along < 4) continue;
    const far = along + aside * 3;
    if (far < least) [best, least] = [link, far];
  }
  return best;
}

const ARROWS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  const way = ARROWS[event.key];
  const here = event.target;
  if (event.key === "f" && here.matches?.(".tile[data-tile] .row-link")) {
    event.preventDefault();
    location.assign(around(here));
    return;
  }
  if (!way) return;
  let to = null;
  if (here.matches?.(".tile .row-link")) to = neighbour(here, way);
  else if (here === document.body || (here.id === "filter-text" && event.key === "ArrowDown")) to = document.querySelector(".tile .row-link");
  if (!to) return;
  event.preventDefault();
  to.focus();
  to.closest(".tile").scrollIntoView({ block: "nearest" });
}

// The map with what is around the workload that a link leads to: /map/CLUSTER/NAMESPACE/KIND/NAME/.
function around(link) {
  const [, base, cluster, namespace, kind, name] = new URL(link.href).pathname.match(/^(.*\/)([^/]+)\/([^/]+)\/([^/]+)\/([^/]+)\/$/);
  const query = new URLSearchParams({ cluster: decodeURIComponent(cluster), namespace: decodeURIComponent(namespace) });
  query.set("focus", `${decodeURIComponent(kind)}/${decodeURIComponent(name)}`);
  return `${base}?${query}`;
}

let shown = null;

// Lines to ConfigMaps and Secrets, of the workload or of the pill that is chosen; all at once would hide the calls.
function reads(attribute, id) {
  for (const old of document.querySelectorAll(".is-read")) old.classList.remove("is-read");
  if (!id) return;
  for (const line of document.querySelectorAll(`.read[${attribute}="${id}"]`)) {
    line.classList.add("is-read");
    document.querySelector(`.config[data-config="${line.dataset.config}"]`)?.classList.add("is-read");
    document.querySelector(`.spot[data-spot="${line.dataset.reader}"]`)?.classList.add("is-read");
  }
}

const chosen = (element) => element?.closest?.(".tile[data-tile], .spot[data-spot]") ?? null;

function mark(id, how, role) {
  const tile = document.getElementById(id)?.closest(".tile");
  if (!tile) return;
  tile.classList.add(how);
  tile.dataset.role = role;
}

function relate(one) {
  if (one === shown) return;
  shown = one;
  const config = one?.matches(".config");
  const id = one?.dataset.tile ?? one?.dataset.spot;
  reads(config ? "data-config" : "data-reader", config ? one.dataset.config : id);
  for (const old of document.querySelectorAll(".call.is-near, .spot.is-chosen")) old.classList.remove("is-near", "is-chosen");
  if (id) {
    for (const line of document.querySelectorAll(`.call[data-from="${id}"], .call[data-to="${id}"]`)) line.classList.add("is-near");
    document.querySelector(`.spot[data-spot="${id}"]`)?.classList.add("is-chosen");
  }
  const tile = id ? document.getElementById(id)?.closest(".tile") : null;
  for (const old of document.querySelectorAll(".is-callee, .is-caller")) old.classList.remove("is-callee", "is-caller");
  const calls = (tile?.dataset.calls ?? "").split(" ").filter(Boolean);
  const callers = (tile?.dataset.callers ?? "").split(" ").filter(Boolean);
  for (const id of calls) mark(id, "is-callee", map().dataset.callee);
  for (const id of callers) mark(id, "is-caller", map().dataset.caller);
}

// What the reader has scrolled to and opened is kept while the map is sent anew.
let kept = null;

function keep() {
  kept = {
    scrolls: [...document.querySelectorAll(".call-scroll")].map((one) => [one.id, one.scrollLeft]),
    open: [...document.querySelectorAll("#map details[open]")].map((one) => one.id),
    drawing: document.activeElement?.closest?.(".call-graph")?.id,
  };
}

function bringBack() {
  if (!kept) return;
  for (const [id, left] of kept.scrolls) document.getElementById(id)?.scrollTo({ left, behavior: "instant" });
  for (const id of kept.open) document.getElementById(id)?.setAttribute("open", "");
  // A group that was opened is gone: who walks by keyboard goes on in the drawing it was in.
  const drawing = kept.drawing && document.getElementById(kept.drawing);
  if (drawing && document.activeElement === document.body) drawing.querySelector(".call-scroll").focus({ preventScroll: true });
  kept = null;
}

// A wide drawing begins with what matters in it.
function showCentre() {
  for (const view of document.querySelectorAll(".call-scroll")) {
    const centre = view.querySelector(".spot-centre.spot-down rect") ?? view.querySelector(".spot-centre rect");
    if (centre) view.scrollLeft = centre.x.baseVal.value - (view.clientWidth - centre.width.baseVal.value) / 2;
  }
}

// Whoever looks for a workload by name is offered those that have a tile, too.
function offer(field) {
  const list = field.list;
  if (!list || list.dataset.offered) return;
  list.dataset.offered = "yes";
  const names = [...field.closest(".ns-card").querySelectorAll(".tile[data-tile] .tile-name")].map((link) => {
    const option = document.createElement("option");
    option.value = new URLSearchParams(around(link).split("?")[1]).get("focus");
    return option;
  });
  list.append(...names);
}

showCentre();
document.addEventListener("htmx:beforeSwap", keep);
document.addEventListener("keydown", onKey);
document.addEventListener("focusin", (event) => {
  relate(chosen(event.target));
  if (event.target.matches?.(".around-form input")) offer(event.target);
});
document.addEventListener("pointerover", (event) => relate(event.target.closest?.(".config") ?? chosen(event.target) ?? chosen(document.activeElement)));
document.addEventListener("htmx:afterSettle", () => {
  bringBack();
  shown = null;
  relate(document.querySelector(".config:hover") ?? chosen(document.activeElement));
});
setInterval(look, LOOK_MS);
document.addEventListener("visibilitychange", look);
