// Menus are <details>; this closes them by Escape or by a click elsewhere.  Forms ask before they do what cannot be undone.
(() => {
  const menus = () => document.querySelectorAll("details[data-menu][open]");
  document.addEventListener("click", (event) => {
    for (const menu of menus()) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of menus()) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  document.addEventListener("submit", (event) => {
    const question = event.target.dataset?.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  });
  for (const select of document.querySelectorAll("select[data-go]")) {
    select.addEventListener("change", () => { if (select.value) window.location.assign(select.value); });
  }
  // A choice that shows or hides a part of its form: the parts stand open without this script.
  for (const select of document.querySelectorAll("[data-shows]")) {
    const apply = () => {
      for (const part of document.querySelectorAll(`[data-shown-by="${select.dataset.shows}"]`)) {
        const shown = select.type === "radio" || select.type === "checkbox" ? null : part.dataset.when.split(" ").includes(select.value);
        if (shown !== null) part.hidden = !shown;
      }
    };
    select.addEventListener("change", apply);
    apply();
  }
})();
