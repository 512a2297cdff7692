/* What moves in the book: frames behind one or two sliders, before and after, and a map of filters that names them.
   The HTML comes from faiglib/companion/page/interactive.py, hidden; the figures above it show the same without scripts. */
"use strict";

(() => {
  const shown = (figure) => JSON.parse(figure.querySelector("script").textContent);

  function frames(figure) {
    const { pictures, axes, alt } = shown(figure);
    const image = figure.querySelector("img");
    const knobs = [...figure.querySelectorAll("input")];
    const update = () => {
      let number = 0;
      const words = knobs.map((knob, axis) => {
        const { name, values } = axes[axis];
        const value = values[knob.valueAsNumber];
        number = number * values.length + knob.valueAsNumber;
        knob.parentElement.querySelector("output").value = value;
        knob.setAttribute("aria-valuetext", value);
        return `${name} ${value}`;
      });
      image.src = pictures[number];
      image.alt = `${alt}, ${words.join(", ")}`;
    };
    knobs.forEach((knob) => knob.addEventListener("input", update));
    update();
  }

  function compare(figure) {
    const knob = figure.querySelector("input");
    const stage = figure.querySelector(".stage");
    const update = () => stage.style.setProperty("--cut", `${knob.value}%`);
    knob.addEventListener("input", update);
    const follow = (event) => {
      const box = stage.getBoundingClientRect();
      knob.value = (100 * (event.clientX - box.left)) / box.width;
      update();
    };
    stage.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.preventDefault();
      stage.setPointerCapture(event.pointerId);
      follow(event);
    });
    stage.addEventListener("pointermove", (event) => {
      if (stage.hasPointerCapture(event.pointerId)) follow(event);
    });
    update();
  }

  function map(figure) {
    const { layers, filters, colour } = shown(figure);
    const canvas = figure.querySelector("canvas");
    const words = figure.querySelector("output");
    const pen = canvas.getContext("2d");
    const place = ([layer, , , across, down]) => [
      ((layer + 0.5 + 0.86 * (across - 0.5)) / layers.length) * canvas.width,
      (0.02 + 0.96 * down) * canvas.height,
    ];
    let chosen = 0;

    function draw() {
      const scale = window.devicePixelRatio || 1;
      canvas.width = canvas.clientWidth * scale;
      canvas.height = canvas.clientHeight * scale;
      pen.fillStyle = "#f2f2f2";
      for (let layer = 0; layer < layers.length; layer += 2)
        pen.fillRect((layer / layers.length) * canvas.width, 0, canvas.width / layers.length, canvas.height);
      pen.fillStyle = colour;
      for (const filter of filters) dot(filter, 1.6 * scale);
      pen.fillStyle = "#000";
      dot(filters[chosen], 4 * scale);
    }

    function dot(filter, radius) {
      pen.beginPath();
      pen.arc(...place(filter), radius, 0, 2 * Math.PI);
      pen.fill();
    }

    function choose(number) {
      chosen = Math.min(filters.length - 1, Math.max(0, number));
      const [layer, output, input, , , score] = filters[chosen];
      words.value = `no. ${chosen + 1} of ${filters.length}: layer ${layers[layer]}, output ${output}, ` +
        `input ${input}, score ${score.toPrecision(3)}`;
      draw();
    }

    function nearest(event) {
      const box = canvas.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * canvas.width;
      const y = ((event.clientY - box.top) / box.height) * canvas.height;
      let best = 0;
      let least = Infinity;
      filters.forEach((filter, number) => {
        const [left, top] = place(filter);
        const distance = (left - x) ** 2 + (top - y) ** 2;
        if (distance < least) [least, best] = [distance, number];
      });
      choose(best);
    }

    canvas.addEventListener("pointermove", nearest);
    canvas.addEventListener("pointerdown", nearest);
    canvas.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 50, PageUp: -50,
        Home: -Infinity, End: Infinity };
      if (event.key in steps) {
        event.preventDefault();
        choose(chosen + steps[event.key]);
      }
    });
    new ResizeObserver(draw).observe(canvas);
    choose(0);
  }

  const kinds = { frames, compare, map };
  document.addEventListener("DOMContentLoaded", () => {
    for (const figure of document.querySelectorAll("figure.interactive")) {
      figure.hidden = false;
      kinds[figure.dataset.kind](figure);
    }
  });
})();
