// Runs before the first paint, so that a page never flashes in the wrong colours.
(() => {
  try {
    const chosen = localStorage.getItem("theme");
    if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage may be forbidden; then the system's setting holds.
  }
})();
