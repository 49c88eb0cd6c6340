// Slice sliders: each range input moves one picture through the volume. Without this script the middle slices stand.
(() => {
  const show = (input) => {
    const figure = input.closest("[data-slice]");
    const picture = figure.querySelector("img");
    const address = new URL(picture.src);
    address.searchParams.set("index", input.value);
    picture.src = address.toString();
    const word = `${Number(input.value) + 1} of ${Number(input.max) + 1}`;
    input.setAttribute("aria-valuetext", word);
    figure.querySelector("output").textContent = word;
  };
  for (const input of document.querySelectorAll("[data-slice] input[type=range]")) {
    let waiting = 0;
    input.addEventListener("input", () => {
      cancelAnimationFrame(waiting);
      waiting = requestAnimationFrame(() => show(input));
    });
    input.disabled = false;
  }
})();
