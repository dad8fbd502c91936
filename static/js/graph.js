// The causal graph moves and zooms by its viewBox; without this script it is a drawing that fits its card.
const STEP = 1.25;
const MOST = 6;
const DRAG_FROM_PX = 4;

// What the reader looks at, kept while the drawing is sent anew.
const looks = { size: "", box: null };

const sizeOf = (svg) => [Number(svg.getAttribute("width")), Number(svg.getAttribute("height"))];
const boxOf = (svg) => svg.getAttribute("viewBox").split(" ").map(Number);

function show(svg, [x, y, width, height]) {
  const [fullWidth, fullHeight] = sizeOf(svg);
  // The middle of what is seen stays on the drawing, or it could be lost.
  const inside = (at, extent, full) => Math.min(full - extent / 2, Math.max(-extent / 2, at));
  const box = [inside(x, width, fullWidth), inside(y, height, fullHeight), width, height];
  svg.setAttribute("viewBox", box.map((value) => value.toFixed(2)).join(" "));
  looks.size = sizeOf(svg).join();
  looks.box = box;
  const isWhole = width >= fullWidth;
  svg.classList.toggle("is-zoomed", !isWhole);
  const fit = document.getElementById("graph-fit");
  if (fit) fit.textContent = isWhole ? fit.dataset.fit : `${Math.round((fullWidth / width) * 100)} %`;
}

function fit(svg) {
  const [width, height] = sizeOf(svg);
  show(svg, [0, 0, width, height]);
}

/** Zoom by `factor` (above 1: nearer) around a point of the drawing, or its middle. */
function zoom(svg, factor, at) {
  const [x, y, width, height] = boxOf(svg);
  const [fullWidth] = sizeOf(svg);
  const wanted = Math.min(fullWidth, Math.max(fullWidth / MOST, width / factor));
  if (wanted === fullWidth) return fit(svg);
  const real = width / wanted;
  const [atX, atY] = at ?? [x + width / 2, y + height / 2];
  return show(svg, [atX - (atX - x) / real, atY - (atY - y) / real, wanted, height / real]);
}

function move(svg, right, down) {
  const [x, y, width, height] = boxOf(svg);
  show(svg, [x + right * width, y + down * height, width, height]);
}

function pointAt(svg, event) {
  const bounds = svg.getBoundingClientRect();
  const [x, y, width, height] = boxOf(svg);
  const scale = width / bounds.width;
  return [x + (event.clientX - bounds.left) * scale, y + ((event.clientY - bounds.top) / bounds.height) * height];
}

const KEYS = {
  ArrowLeft: (svg) => move(svg, -0.12, 0),
  ArrowRight: (svg) => move(svg, 0.12, 0),
  ArrowUp: (svg) => move(svg, 0, -0.12),
  ArrowDown: (svg) => move(svg, 0, 0.12),
  "+": (svg) => zoom(svg, STEP),
  "=": (svg) => zoom(svg, STEP),
  "-": (svg) => zoom(svg, 1 / STEP),
  0: fit,
};

function drags(view, svg) {
  let start = null;
  view.addEventListener("pointerdown", (event) => {
    if (event.button === 0 && svg.classList.contains("is-zoomed")) {
      start = { x: event.clientX, y: event.clientY, box: boxOf(svg), isDrag: false };
    }
  });
  view.addEventListener("pointermove", (event) => {
    if (!start) return;
    const [dx, dy] = [event.clientX - start.x, event.clientY - start.y];
    if (!start.isDrag && Math.hypot(dx, dy) < DRAG_FROM_PX) return;
    if (!start.isDrag) view.setPointerCapture(event.pointerId);
    start.isDrag = true;
    const scale = start.box[2] / svg.getBoundingClientRect().width;
    show(svg, [start.box[0] - dx * scale, start.box[1] - dy * scale, start.box[2], start.box[3]]);
  });
  const end = () => {
    const was = start?.isDrag;
    start = null;
    // The click that ends a drag is not meant for the node under it.
    if (was) view.addEventListener("click", (event) => event.preventDefault(), { once: true, capture: true });
  };
  view.addEventListener("pointerup", end);
  view.addEventListener("pointercancel", () => (start = null));
  view.addEventListener("dragstart", (event) => event.preventDefault());
}

/** Make the drawing that is on the page move; again whenever it was sent anew. */
export function startGraph() {
  const view = document.getElementById("graph-view");
  const svg = view?.querySelector("svg.graph");
  if (!svg || view.dataset.moves) return;
  view.dataset.moves = "yes";
  const tools = document.querySelector(".graph-tools");
  tools.hidden = false;
  document.getElementById("graph-hint").hidden = false;
  const label = document.getElementById("graph-fit");
  label.dataset.fit = label.textContent;
  tools.addEventListener("click", (event) => {
    const what = event.target.closest("[data-graph]")?.dataset.graph;
    if (what === "fit") fit(svg);
    else if (what) zoom(svg, what === "in" ? STEP : 1 / STEP);
  });
  view.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // the page scrolls on
      event.preventDefault();
      zoom(svg, Math.exp(-event.deltaY / 300), pointAt(svg, event));
    },
    { passive: false },
  );
  view.addEventListener("keydown", (event) => {
    const act = KEYS[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    act(svg);
  });
  // A node that is walked to with the Tab key has to be seen.
  view.addEventListener("focusin", (event) => {
    const rect = event.target.closest(".graph-node")?.querySelector("rect");
    if (!rect || !svg.classList.contains("is-zoomed")) return;
    const [, , width, height] = boxOf(svg);
    show(svg, [rect.x.baseVal.value + 116 - width / 2, rect.y.baseVal.value + 30 - height / 2, width, height]);
  });
  drags(view, svg);
  if (looks.box && looks.size === sizeOf(svg).join()) show(svg, looks.box);
}
