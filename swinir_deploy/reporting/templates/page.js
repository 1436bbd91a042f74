"use strict";
// Makes a slider of every group of pictures. Without this script, and in print, the pictures stand
// side by side.
(() => {
  const ZOOMS = [0, 1, 2, 4, 8]; // 0: as wide as the page
  const element = (name, values = {}, ...children) => {
    const made = Object.assign(document.createElement(name), values);
    made.append(...children);
    return made;
  };

  function compare(figure) {
    const sources = [...figure.querySelectorAll(".panels img")];
    const labels = sources.map((image) => image.parentElement.textContent.trim());
    const name = figure.querySelector("strong").textContent;
    const width = Number(figure.dataset.width);
    const height = Number(figure.dataset.height);
    const state = { at: 50, zoom: 0, left: Number(figure.dataset.left), right: Number(figure.dataset.right) };

    const under = element("img", { draggable: false });
    const over = element("img", { className: "over", draggable: false });
    const both = element("div", { className: "both" }, under, over);
    const pan = element("div", { className: "pan" }, both);
    const line = element("div", { className: "line" });
    const view = element("div", { className: "view" }, pan, line);
    const slide = element("input", { type: "range", className: "slide", min: 0, max: 100, value: 50 });
    const choose = (text, side) => {
      const select = element("select", {}, ...labels.map((label, index) => element("option", { value: index, textContent: label })));
      select.value = state[side];
      select.addEventListener("change", () => { state[side] = Number(select.value); show(); });
      return element("label", {}, text, select);
    };
    const zooms = ZOOMS.map((zoom) => {
      const button = element("button", { type: "button", textContent: zoom ? `${zoom}×` : "Fit" });
      button.setAttribute("aria-label", zoom ? `Zoom ${zoom}, pixel by pixel` : "Fit to the page");
      button.addEventListener("click", () => { state.zoom = zoom; show(); });
      return button;
    });
    const bar = element(
      "div", { className: "bar" }, choose("Left", "left"), choose("Right", "right"),
      element("div", { className: "zooms" }, element("span", { textContent: "Zoom" }), ...zooms),
    );
    const box = element("div", { className: "compare" }, bar, view, slide);
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", `${name}: compare two states`);
    pan.setAttribute("role", "group");

    function place() {
      const shown = view.clientWidth;
      const edge = (shown * state.at) / 100 + pan.scrollLeft;
      over.style.clipPath = `inset(0 0 0 ${Math.max(0, edge)}px)`;
      line.style.left = `${state.at}%`;
      slide.value = state.at;
      slide.setAttribute("aria-valuetext", `${Math.round(state.at)} % ${labels[state.left]}, the rest ${labels[state.right]}`);
    }
    function show() {
      under.src = sources[state.left].src;
      over.src = sources[state.right].src;
      under.alt = `${name}, left of the line: ${labels[state.left]}`;
      over.alt = `${name}, right of the line: ${labels[state.right]}`;
      slide.setAttribute("aria-label", `Line between ${labels[state.left]} and ${labels[state.right]}`);
      pan.setAttribute("aria-label", `${name}, ${labels[state.left]} and ${labels[state.right]}`);
      zooms.forEach((button, index) => button.setAttribute("aria-pressed", String(ZOOMS[index] === state.zoom)));
      view.classList.toggle("zoomed", state.zoom > 0);
      if (state.zoom) pan.tabIndex = 0; else pan.removeAttribute("tabindex");
      // One pixel of the picture is a whole number of pixels of the screen.
      const pixel = state.zoom / (window.devicePixelRatio || 1);
      both.style.width = state.zoom ? `${width * pixel}px` : "100%";
      both.style.height = state.zoom ? `${height * pixel}px` : "auto";
      both.style.aspectRatio = state.zoom ? "auto" : `${width} / ${height}`;
      place();
    }
    function moveTo(event) {
      const area = view.getBoundingClientRect();
      state.at = Math.min(100, Math.max(0, ((event.clientX - area.left) / area.width) * 100));
      place();
    }

    let dragging = null; // "line" or "picture"
    let from = null;
    view.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      const onLine = event.target === line || !state.zoom;
      if (!onLine && event.pointerType === "touch") return; // the browser scrolls
      if (!onLine && event.target === pan) return; // its scroll bars
      dragging = onLine ? "line" : "picture";
      from = { x: event.clientX + pan.scrollLeft, y: event.clientY + pan.scrollTop };
      view.setPointerCapture(event.pointerId);
      if (onLine) moveTo(event);
      if (event.pointerType === "mouse") event.preventDefault();
    });
    view.addEventListener("pointermove", (event) => {
      if (dragging === "line") moveTo(event);
      if (dragging === "picture") pan.scrollTo(from.x - event.clientX, from.y - event.clientY);
    });
    for (const end of ["pointerup", "pointercancel"]) view.addEventListener(end, () => { dragging = null; });
    pan.addEventListener("scroll", place);
    slide.addEventListener("input", () => { state.at = Number(slide.value); place(); });
    box.addEventListener("keydown", (event) => {
      if (event.target.tagName === "SELECT" || event.ctrlKey || event.metaKey || event.altKey) return;
      const step = { "+": 1, "=": 1, "-": -1 }[event.key];
      if (event.key !== "0" && !step) return;
      const next = event.key === "0" ? 0 : ZOOMS.indexOf(state.zoom) + step;
      state.zoom = ZOOMS[Math.min(ZOOMS.length - 1, Math.max(0, next))];
      show();
      event.preventDefault();
    });
    new ResizeObserver(place).observe(view);
    figure.querySelector(".panels").before(box);
    show();
  }

  document.querySelectorAll("figure.pictures").forEach(compare);
  // What is folded is printed, too.
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((details) => { details.open = true; });
  });
  window.addEventListener("afterprint", () => opened.forEach((details) => { details.open = false; }));
})();
