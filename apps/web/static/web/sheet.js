// The button of the sheet; without it the browser's own command prints.
document.querySelector("[data-print]")?.addEventListener("click", () => window.print());
