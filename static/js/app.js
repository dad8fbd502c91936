import { startAttention } from "./attention.js";
import { startDialogs } from "./dialogs.js";
import { startKeys } from "./keys.js";
import { startLive } from "./live.js";
import { startPalette } from "./palette.js";
import { startThemeToggle } from "./toggle.js";
import { startTimes } from "./times.js";
import { startTour } from "./tour.js";

startTimes();
startThemeToggle();
startKeys();
startDialogs();
startPalette();
startAttention();
startLive();
startTour();

document.getElementById("alert")?.focus();
