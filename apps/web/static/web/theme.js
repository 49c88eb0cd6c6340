// Light, dark, or as the system says; runs before the first paint, so that nothing flashes.  The choice stays in this browser.
(() => {
  const KEY = "corr-theme";
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => { try { return localStorage.getItem(KEY) || ""; } catch { return ""; } };
  const apply = () => { document.documentElement.dataset.bsTheme = chosen() || (dark.matches ? "dark" : "light"); };
  dark.addEventListener("change", apply);
  apply();
  document.addEventListener("DOMContentLoaded", () => {
    for (const select of document.querySelectorAll("[data-theme-switch]")) {
      select.value = chosen();
      select.disabled = false;
      select.addEventListener("change", () => {
        try { localStorage.setItem(KEY, select.value); } catch { /* a browser that keeps nothing follows the system */ }
        apply();
        for (const other of document.querySelectorAll("[data-theme-switch]")) other.value = select.value;
      });
    }
  });
})();
