// Plots and slide: a rectangle drawn in a plot sets the ranges of the gallery and stays; marks follow; the slide zooms.
(function () {
  "use strict";
  var gallery = ctcascade.gallery, shape = "http://www.w3.org/2000/svg", LEAST = 4;
  var picks = Array.from(document.querySelectorAll("a.pick")), plots = Array.from(document.querySelectorAll("svg.scatter"));

  // One stop of the tabulator for all marks of a drawing; arrow keys go from mark to mark.
  document.querySelectorAll("svg.scatter, svg.slide").forEach(function (drawing) {
    var own = Array.from(drawing.querySelectorAll("a.pick"));
    own.forEach(function (pick, at) {
      pick.setAttribute("tabindex", at ? "-1" : "0");
      pick.addEventListener("keydown", function (event) {
        var by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key], next = own[at + by];
        if (!next) { return; }
        event.preventDefault();
        event.stopPropagation();
        pick.setAttribute("tabindex", "-1");
        next.setAttribute("tabindex", "0");
        next.focus({ preventScroll: true });
      });
    });
  });

  if (!gallery || !gallery.total) { return; } // nothing to choose from

  function bent(axis, v) { return axis.linear_to ? Math.asinh(v / axis.linear_to) : v; }

  function value(axis, place) {
    var low = bent(axis, axis.low), at = low + (place - axis.start) / (axis.end - axis.start) * (bent(axis, axis.high) - low);
    return axis.linear_to ? axis.linear_to * Math.sinh(at) : at;
  }

  function placeOf(axis, v) {
    var held = Math.min(Math.max(v, axis.low), axis.high), low = bent(axis, axis.low);
    return axis.start + (bent(axis, held) - low) / (bent(axis, axis.high) - low) * (axis.end - axis.start);
  }

  function input(column, end) { return document.querySelector(".narrow [data-" + end + "='" + column + "']"); }

  function narrowTo(axis, one, two) {
    var ends = [value(axis, one), value(axis, two)].sort(function (a, b) { return a - b; });
    ["from", "to"].forEach(function (end, i) { input(axis.column, end).value = Number(ends[i].toPrecision(4)); });
  }

  function limits(axis) {
    var found = ["from", "to"].map(function (end) { return parseFloat(input(axis.column, end).value); });
    var set = found.some(function (v) { return !isNaN(v); });
    return { set: set, ends: [isNaN(found[0]) ? axis.low : found[0], isNaN(found[1]) ? axis.high : found[1]].map(function (v) { return placeOf(axis, v); }) };
  }

  function drawFrame(plot, x, y) {
    var frame = plot.querySelector("rect.brush") || plot.appendChild(document.createElementNS(shape, "rect"));
    frame.setAttribute("class", "brush");
    [["x", "width", x], ["y", "height", y]].forEach(function (side) {
      frame.setAttribute(side[0], Math.min(side[2][0], side[2][1]));
      frame.setAttribute(side[1], Math.abs(side[2][1] - side[2][0]));
    });
  }

  // The frame in a plot is drawn from the ranges, so it stays until they go; all cells within it are counted.
  function follow(plot, within) {
    var axes = JSON.parse(plot.getAttribute("data-axes")), x = limits(axes[0]), y = limits(axes[1]);
    var old = plot.querySelector("rect.brush"), said = plot.parentNode.querySelector(".within");
    if (!x.set && !y.set) {
      if (old) { old.remove(); }
      said.textContent = "";
      return;
    }
    drawFrame(plot, x.ends, y.ends);
    function inside(at, ends) { return at >= Math.min(ends[0], ends[1]) && at <= Math.max(ends[0], ends[1]); }
    var others = 0, every = 0;
    plot.querySelectorAll("rect.cloud").forEach(function (square) {
      var n = Number(square.getAttribute("data-n"));
      every += n;
      if (inside(Number(square.getAttribute("x")) + Number(square.getAttribute("width")) / 2, x.ends) &&
          inside(Number(square.getAttribute("y")) + Number(square.getAttribute("height")) / 2, y.ends)) { others += n; }
    });
    said.textContent = "In the frame: " + within.size + " of " + gallery.total + " cells to review, and about " + others + " of " + every + " other cells.";
  }

  gallery.onFilter(function (within) {
    picks.forEach(function (pick) { pick.classList.toggle("dim", !within.has(Number(pick.getAttribute("data-cell")))); });
    plots.forEach(function (plot) { follow(plot, within); });
  });

  plots.forEach(function (plot) {
    var axes = JSON.parse(plot.getAttribute("data-axes")), start = null, drawn = null;

    function place(event) { return new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse()); }

    function held(point) {
      return ["x", "y"].map(function (side, i) {
        var ends = [axes[i].start, axes[i].end];
        return Math.min(Math.max(point[side], Math.min.apply(null, ends)), Math.max.apply(null, ends));
      });
    }

    plot.addEventListener("pointerdown", function (event) {
      if (event.pointerType === "touch" || event.button !== 0) { return; } // a finger scrolls
      start = held(place(event));
      event.preventDefault();
    });
    window.addEventListener("pointermove", function (event) {
      if (!start) { return; }
      var now = held(place(event));
      if (!drawn && Math.max(Math.abs(now[0] - start[0]), Math.abs(now[1] - start[1])) < LEAST) { return; }
      drawn = now;
      drawFrame(plot, [start[0], now[0]], [start[1], now[1]]);
    });
    window.addEventListener("pointerup", function () {
      if (start && drawn) {
        axes.forEach(function (axis, i) { narrowTo(axis, start[i], drawn[i]); });
        plot.dragged = true;
        setTimeout(function () { plot.dragged = false; }, 0);
        gallery.filter();
      }
      start = drawn = null;
    });
    plot.addEventListener("click", function (event) { if (plot.dragged) { event.preventDefault(); event.stopPropagation(); } }, true);
  });
})();

// The slide: zoom by button, key or double click, moved by dragging; the scale bar follows.
(function () {
  "use strict";
  var slide = document.querySelector("svg.slide");
  if (!slide) { return; }
  var whole = slide.getAttribute("viewBox").split(" ").map(Number), zoom = 1, middle = [whole[2] / 2, whole[3] / 2], grip = null;
  var umPerUnit = Number(slide.getAttribute("data-um")), bar = slide.querySelector(".slide-bar"), tools = document.querySelector(".slide-tools");

  function nice(um) {
    var size = Math.pow(10, Math.floor(Math.log10(um)));
    return size * (um >= 5 * size ? 5 : um >= 2 * size ? 2 : 1);
  }

  function show() {
    var width = whole[2] / zoom, height = whole[3] / zoom;
    middle = [Math.min(Math.max(middle[0], width / 2), whole[2] - width / 2), Math.min(Math.max(middle[1], height / 2), whole[3] - height / 2)];
    var left = middle[0] - width / 2, top = middle[1] - height / 2;
    slide.setAttribute("viewBox", [left, top, width, height].map(function (v) { return v.toFixed(2); }).join(" "));
    slide.style.setProperty("--mark", String(1 / zoom));
    slide.classList.toggle("zoomed", zoom > 1);
    tools.querySelector(".zoom-at").textContent = zoom.toFixed(zoom < 2 && zoom > 1 ? 1 : 0) + "×";
    if (bar) {
      var um = nice(0.22 * width * umPerUnit), line = bar.querySelector("rect"), text = bar.querySelector("text");
      line.setAttribute("width", um / umPerUnit * zoom);
      line.setAttribute("x", 980 - um / umPerUnit * zoom);
      text.textContent = um >= 1000 ? um / 1000 + " mm" : um + " µm";
      bar.setAttribute("transform", "translate(" + left.toFixed(2) + " " + top.toFixed(2) + ") scale(" + (1 / zoom).toFixed(5) + ")");
    }
  }

  function by(factor, at) {
    zoom = Math.min(Math.max(zoom * factor, 1), 16);
    if (at) { middle = at; }
    show();
  }

  function place(event) {
    var found = new DOMPoint(event.clientX, event.clientY).matrixTransform(slide.getScreenCTM().inverse());
    return [found.x, found.y];
  }

  tools.querySelector(".in").addEventListener("click", function () { by(1.5); });
  tools.querySelector(".out").addEventListener("click", function () { by(1 / 1.5); });
  tools.querySelector(".fit").addEventListener("click", function () { zoom = 1; show(); });
  slide.addEventListener("dblclick", function (event) { by(2, place(event)); });
  slide.addEventListener("wheel", function (event) {
    if (!event.ctrlKey) { return; } // without a key the page scrolls
    event.preventDefault();
    by(event.deltaY < 0 ? 1.25 : 0.8, place(event));
  }, { passive: false });
  slide.addEventListener("keydown", function (event) {
    var moved = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.target !== slide) { return; }
    if (event.key === "+" || event.key === "=") { by(1.5); } else if (event.key === "-") { by(1 / 1.5); }
    else if (moved && zoom > 1) { middle = [middle[0] + moved[0] * whole[2] / zoom / 5, middle[1] + moved[1] * whole[3] / zoom / 5]; show(); }
    else { return; }
    event.preventDefault();
  });
  slide.addEventListener("pointerdown", function (event) { if (zoom > 1 && event.button === 0 && event.pointerType !== "touch") { grip = place(event); event.preventDefault(); } });
  window.addEventListener("pointermove", function (event) {
    if (!grip) { return; }
    var now = place(event);
    middle = [middle[0] + grip[0] - now[0], middle[1] + grip[1] - now[1]];
    show();
  });
  window.addEventListener("pointerup", function () { grip = null; });
  show();
})();
