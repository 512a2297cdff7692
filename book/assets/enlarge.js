/* Figures and photographs open full size: by a click or by Enter; Escape closes, and arrows go on within a gallery, so
   that two restorations change places before the eye. And what scrolls sideways is reached by key, and says so. */
"use strict";

(() => {
  const PICTURES = ".bd-article .plot img, .bd-article .gallery img";
  let dialog, opened, around;

  function make() {
    dialog = document.createElement("dialog");
    dialog.className = "enlarged";
    dialog.setAttribute("aria-label", "Enlarged picture");
    dialog.innerHTML =
      '<div class="bar"><p></p><button type="button" class="back">‹ previous</button>' +
      '<button type="button" class="on">next ›</button><button type="button" class="close">close</button></div>' +
      '<div class="room" tabindex="0"><img alt=""></div>';
    document.body.append(dialog);
    dialog.querySelector(".back").addEventListener("click", () => step(-1));
    dialog.querySelector(".on").addEventListener("click", () => step(1));
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (way && around.length > 1) {
        event.preventDefault();
        step(way);
      }
    });
    addEventListener("resize", fit);
  }

  function step(way) {
    opened = around[(around.indexOf(opened) + way + around.length) % around.length];
    show();
  }

  function show() {
    const image = dialog.querySelector("img");
    image.src = opened.src;
    image.alt = opened.alt;
    dialog.querySelector("p").textContent = opened.alt;
    fit();
  }

  /* A photograph is enlarged by a whole factor where it fits one, a plot to the size that it was drawn in, or more. */
  function fit() {
    if (!dialog.open) return;
    const photograph = Boolean(opened.closest(".gallery"));
    const image = dialog.querySelector("img");
    const room = dialog.querySelector(".room");
    const factor = Math.min(room.clientWidth / opened.naturalWidth, room.clientHeight / opened.naturalHeight);
    const scale = photograph ? (factor >= 1 ? Math.floor(factor) : factor) : Math.max(1, factor);
    image.className = photograph ? "photograph" : "drawing";
    image.style.width = `${Math.floor(scale * opened.naturalWidth)}px`;
  }

  function open(image) {
    if (!dialog) make();
    opened = image;
    const gallery = image.closest(".gallery");
    around = gallery ? [...gallery.querySelectorAll("img")] : [image];
    for (const one of dialog.querySelectorAll(".back, .on")) one.hidden = around.length < 2;
    dialog.showModal();
    dialog.querySelector(".room").focus();
    show();
  }

  /* The edge at which something is cut is marked; what scrolls can be reached by key, and has a name. */
  function watch(box) {
    const update = () => {
      const left = box.scrollLeft > 1;
      const right = box.scrollLeft + box.clientWidth < box.scrollWidth - 1;
      box.classList.toggle("cut-left", left);
      box.classList.toggle("cut-right", right);
      if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) {
        box.tabIndex = 0;
        box.setAttribute("role", "region");
        box.setAttribute("aria-label", box.querySelector("caption, img")?.alt ||
          box.querySelector("caption")?.textContent.trim().slice(0, 120) || "Wide content");
      } else {
        for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
      }
    };
    box.addEventListener("scroll", update, { passive: true });
    new ResizeObserver(update).observe(box);
    update();
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const image of document.querySelectorAll(PICTURES)) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "enlarge";
      button.title = "Enlarge";
      image.replaceWith(button);
      button.append(image);
      button.addEventListener("click", () => open(image));
    }
    document.querySelectorAll(".scrolls").forEach(watch);
  });
})();
