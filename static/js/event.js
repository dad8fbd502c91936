// One event's page: its graph, its replay, and what the timeline is narrowed to.
import { startGraph } from "./graph.js";
import { startReplay } from "./replay.js";

const SORT = "timeline";

function narrow() {
  const wanted = new URL(location.href).searchParams.get(SORT);
  const radio = wanted && document.querySelector(`.sorts input[value="${CSS.escape(wanted)}"]`);
  if (radio) radio.checked = true;
  document.querySelector(".sorts")?.addEventListener("change", (event) => {
    const address = new URL(location.href);
    if (event.target.value === "all") address.searchParams.delete(SORT);
    else address.searchParams.set(SORT, event.target.value);
    history.replaceState(history.state, "", address);
  });
}

// A link to an entry that the chosen sort hides shows everything.
function reveal() {
  const target = location.hash.startsWith("#t-") && document.getElementById(location.hash.slice(1));
  if (target && !target.checkVisibility()) document.getElementById("sort-all")?.click();
  if (target) target.scrollIntoView({ block: "nearest" });
  const inside = location.hash && document.getElementById(location.hash.slice(1))?.closest("details:not([open])");
  if (inside) inside.open = true;
}

function start() {
  startGraph();
  startReplay();
}

narrow();
start();
reveal();
addEventListener("hashchange", reveal);
document.addEventListener("live:settled", start);
