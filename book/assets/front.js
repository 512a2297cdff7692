/* The front page is one screen: on a wide window the list of chapters is folded away, and its button opens it. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  if (document.querySelector(".front") && window.matchMedia("(min-width: 992px)").matches) {
    document.querySelector("#pst-primary-sidebar")?.classList.add("pst-sidebar-hidden");
  }
});
