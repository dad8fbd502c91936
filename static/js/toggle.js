import { words } from "./words.js";

// Dark, light, as the system says: one button goes round.
const NEXT = { system: "dark", dark: "light", light: "system" };

const current = () => document.documentElement.dataset.theme ?? "system";

export function nextTheme() {
  const theme = NEXT[current()];
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", theme);
  } catch {
    // The choice then lasts as long as the page.
  }
  label();
}

function label() {
  const text = `${words("colours")} ${words(current())}`;
  for (const button of document.querySelectorAll("[data-theme-toggle]")) {
    button.setAttribute("aria-label", text);
    button.title = text;
  }
}

export function startThemeToggle() {
  label();
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-theme-toggle]")) nextTheme();
  });
}
