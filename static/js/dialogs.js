// Buttons that open a dialog of the page, reveal a part of it, or put a choice into the address.

/** Open the dialog called `id`, if the page has it. */
export function openDialog(id) {
  const dialog = document.getElementById(id);
  if (!dialog?.showModal || dialog.open) return false;
  dialog.showModal();
  dialog.querySelector("[autofocus], input:not([type=hidden])")?.focus();
  return true;
}

function onClick(event) {
  const opener = event.target.closest("[data-open]");
  if (opener && !event.ctrlKey && !event.metaKey && openDialog(opener.dataset.open)) {
    event.preventDefault();
    return;
  }
  if (event.target.closest("[data-close]")) event.target.closest("dialog")?.close();
  // A click beside a dialog closes it: then the dialog itself is what was hit.
  if (event.target.matches?.("dialog.dialog[open]")) {
    const box = event.target.getBoundingClientRect();
    const inside =
      event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
    if (!inside) event.target.close();
  }
  const revealer = event.target.closest("[data-reveal]");
  if (revealer) {
    event.preventDefault();
    reveal(document.getElementById(revealer.dataset.reveal));
  }
}

function reveal(panel) {
  if (!panel) return;
  panel.hidden = !panel.hidden;
  const loads = panel.querySelector("[data-load]");
  if (!panel.hidden && loads) {
    window.htmx.ajax("GET", loads.dataset.load, { target: loads, swap: "innerHTML" }).then(() => {
      fits(panel);
      panel.querySelector("select")?.focus();
    });
  }
}

// A fault happens to a workload, to a Service, or to the cluster: only what it can happen to can be chosen.
function fits(root) {
  const fault = root.querySelector("[data-break-fault]");
  const where = root.querySelector("[data-break-where]");
  if (!fault || !where) return;
  const needs = fault.selectedOptions[0]?.dataset.needs ?? "";
  where.disabled = needs === "";
  for (const group of where.querySelectorAll("optgroup")) {
    group.disabled = group.dataset.kind !== needs;
    group.hidden = group.disabled;
  }
  const chosen = where.selectedOptions[0];
  if (!chosen || chosen.parentElement.disabled) {
    const first = where.querySelector("optgroup:not(:disabled) option");
    if (first) first.selected = true;
  }
}

export function startDialogs() {
  document.addEventListener("click", onClick);
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-address]")) {
      const address = new URL(location.href);
      if (event.target.value) address.searchParams.set(event.target.name, event.target.value);
      else address.searchParams.delete(event.target.name);
      location.assign(address);
    }
    if (event.target.matches("[data-break-fault]")) fits(event.target.closest(".break"));
  });
  fits(document);
}
