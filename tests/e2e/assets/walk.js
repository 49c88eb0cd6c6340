// Notes what takes the focus while Tab is pressed, and says in the end what of the page's controls never did.
(() => {
  document.documentElement.style.scrollBehavior = "auto"; // what has the focus is where it will be
  // The walk begins at the top, wherever the page has put the focus.
  const top = document.createElement("span");
  top.tabIndex = -1;
  document.body.prepend(top);
  top.focus();
  top.remove();
  window.scrollTo(0, 0);
  const CONTROLS = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']";
  const shown = (e) => {
    const folded = e.closest("details:not([open])");
    if (folded && !(e.tagName === "SUMMARY" && e.parentElement === folded)) return false;
    return e.getClientRects().length > 0 && getComputedStyle(e).visibility === "visible" && !e.closest("[inert]");
  };
  const wanted = () => [...document.querySelectorAll(CONTROLS)].filter((e) => !e.disabled && e.tabIndex >= 0 && shown(e));
  const named = (e) => {
    const words = String(e.getAttribute("aria-label") || e.innerText || e.textContent || e.name || e.id || "").trim();
    return `${e.tagName.toLowerCase()} ${words.slice(0, 60)}`;
  };
  const marked = (e) => {
    const style = getComputedStyle(e);
    const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    const place = e.getBoundingClientRect();
    return (outlined || style.boxShadow !== "none") && place.bottom > 0 && place.top < innerHeight;
  };
  const before = wanted();
  const reached = new Set();
  const unseen = [];
  let last = null;
  let first = null;
  let over = false;
  const ended = () => {
    const now = document.activeElement;
    if (!now || now === document.body || now === document.documentElement) { over = true; return true; }
    if (now === first && reached.size > 1) { over = true; return true; }
    first = first || now;
    if (now === last) return false;
    last = now;
    if (!reached.has(now) && !marked(now)) unseen.push(named(now));
    reached.add(now);
    return false;
  };
  // Of a group of radio buttons one takes the focus, and the arrows go to the others.
  const grouped = (e) => e.type === "radio" && [...reached].some((other) => other.type === "radio" && other.name === e.name);
  const found = () => ({
    missed: before.filter((e) => e.isConnected && shown(e) && !reached.has(e) && !grouped(e)).map(named),
    unseen,
    trapped: over ? [] : [last ? named(last) : "nothing took the focus"],
  });
  window.corrWalk = { ended, found };
})();
