/* What moves in the book: frames behind one or two sliders, before and after, and a map of filters that names them.
   The HTML comes from faiglib/companion/page/interactive.py, hidden; the figures above it show the same without scripts. */
"use strict";

(() => {
  let maps = 0;
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

  /* Names of layers stand upright below the map, as many as there is room for. */
  function map(figure) {
    const { layers, functions, filters } = shown(figure);
    const canvas = figure.querySelector("canvas");
    const words = figure.querySelector("output");
    const radios = [...figure.querySelectorAll("input[type=radio]")];
    const pen = canvas.getContext("2d");
    const NAMES = 92; // CSS pixels below the map
    let chosen = 0;
    let listed = filters;
    let scale = 1;
    const floor = () => canvas.height - NAMES * scale;
    const place = ([layer, , , across, down]) => [
      ((layer + 0.5 + 0.86 * (across - 0.5)) / layers.length) * canvas.width,
      (0.02 + 0.96 * down) * floor(),
    ];

    function draw() {
      scale = window.devicePixelRatio || 1;
      canvas.width = canvas.clientWidth * scale;
      canvas.height = canvas.clientHeight * scale;
      const colour = (name) => getComputedStyle(figure).getPropertyValue(name).trim();
      const column = canvas.width / layers.length;
      pen.fillStyle = colour("--pst-color-surface") || "transparent";
      for (let layer = 0; layer < layers.length; layer += 2) pen.fillRect(layer * column, 0, column, floor());
      pen.strokeStyle = colour("--faig-rule");
      pen.strokeRect(0, floor(), canvas.width, 0);
      for (const filter of listed) {
        pen.fillStyle = colour(`--faig-${functions[filter[6]]}`);
        dot(filter, 1.6 * scale);
      }
      pen.fillStyle = colour("--pst-color-text-base");
      if (listed.length) dot(listed[chosen], 4 * scale);
      pen.font = `${12 * scale}px ${getComputedStyle(figure).fontFamily}`;
      pen.textAlign = "right";
      pen.textBaseline = "middle";
      const every = Math.ceil((14 * scale) / column);
      for (let layer = 0; layer < layers.length; layer += every) {
        pen.save();
        pen.translate((layer + 0.5) * column, floor() + 6 * scale);
        pen.rotate(-Math.PI / 2);
        pen.fillText(layers[layer], 0, 0, (NAMES - 8) * scale);
        pen.restore();
      }
    }

    function dot(filter, radius) {
      pen.beginPath();
      pen.arc(...place(filter), radius, 0, 2 * Math.PI);
      pen.fill();
    }

    function choose(number) {
      chosen = Math.min(listed.length - 1, Math.max(0, number));
      const [layer, output, input, , , score, which] = listed[chosen];
      words.value = `no. ${chosen + 1} of ${listed.length}: ${functions[which]} filter, layer ${layers[layer]}, ` +
        `output ${output}, input ${input}, score ${score.toPrecision(3)}`;
      draw();
    }

    function nearest(event) {
      const box = canvas.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * canvas.width;
      const y = ((event.clientY - box.top) / box.height) * canvas.height;
      let best = 0;
      let least = Infinity;
      listed.forEach((filter, number) => {
        const [left, top] = place(filter);
        const distance = (left - x) ** 2 + (top - y) ** 2;
        if (distance < least) [least, best] = [distance, number];
      });
      choose(best);
    }

    maps += 1;
    for (const radio of radios) {
      radio.name = `filters-${maps}`;
      radio.addEventListener("change", () => {
        const which = functions.indexOf(radio.value);
        listed = which < 0 ? filters : filters.filter((filter) => filter[6] === which);
        choose(0);
      });
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
    new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
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
