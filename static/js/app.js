import { startKeys } from "./keys.js";
import { startLive } from "./live.js";
import { startThemeToggle } from "./toggle.js";
import { startTimes } from "./times.js";

startLive();
startTimes();
startKeys();
startThemeToggle();

document.getElementById("alert")?.focus();
