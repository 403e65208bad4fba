// Filters the gallery by ranges of values; dragging a rectangle in a plot fills in the ranges.
(function () {
  "use strict";
  var panel = document.querySelector(".narrow");
  if (!panel) { return; }
  var cards = Array.from(document.querySelectorAll("article[data-values]"));
  var groups = Array.from(document.querySelectorAll("article[data-cluster]"));
  var picks = Array.from(document.querySelectorAll("a.pick")), ranges = Array.from(panel.querySelectorAll("input[type=number]"));
  var calls = Array.from(panel.querySelectorAll("input[type=checkbox]"));
  var status = panel.querySelector("[role=status]"), notice = document.querySelector(".narrowed");
  var LEAST = 4, shape = "http://www.w3.org/2000/svg";

  cards.forEach(function (card) { card.values = JSON.parse(card.getAttribute("data-values")); });

  function fits(card) {
    return calls.every(function (box) { return box.checked || box.getAttribute("data-call") !== card.getAttribute("data-call"); }) &&
      ranges.every(function (input) {
        var limit = parseFloat(input.value), low = input.getAttribute("data-from");
        var value = card.values[low || input.getAttribute("data-to")];
        return isNaN(limit) || (low ? value >= limit : value <= limit);
      });
  }

  function show() {
    var shown = 0;
    cards.forEach(function (card) { card.hidden = !fits(card); shown += card.hidden ? 0 : 1; });
    groups.forEach(function (group) {
      group.hidden = Array.from(group.querySelectorAll("dd a")).every(function (link) {
        var card = document.getElementById(link.hash.slice(1));
        return !card || card.hidden;
      });
    });
    picks.forEach(function (pick) {
      pick.classList.toggle("dim", document.getElementById(pick.getAttribute("href").slice(1)).hidden);
    });
    status.textContent = shown + " of " + cards.length + " cells shown";
    notice.hidden = shown === cards.length;
    notice.firstElementChild.textContent = "Filtered: " + status.textContent + ".";
  }

  function all() {
    ranges.forEach(function (input) { input.value = ""; });
    calls.forEach(function (box) { box.checked = true; });
    show();
  }

  function value(axis, place) {
    var bent = function (v) { return axis.linear_to ? Math.asinh(v / axis.linear_to) : v; };
    var low = bent(axis.low), at = low + (place - axis.start) / (axis.end - axis.start) * (bent(axis.high) - low);
    return axis.linear_to ? axis.linear_to * Math.sinh(at) : at;
  }

  function narrowTo(axis, one, two) {
    var ends = [value(axis, one), value(axis, two)].sort(function (a, b) { return a - b; });
    ["from", "to"].forEach(function (end, i) {
      panel.querySelector("[data-" + end + "='" + axis.column + "']").value = Number(ends[i].toPrecision(4));
    });
  }

  function brushed(plot) {
    var axes = JSON.parse(plot.getAttribute("data-axes")), start = null, frame = null;

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
      var now = held(place(event)), size = [Math.abs(now[0] - start[0]), Math.abs(now[1] - start[1])];
      if (!frame && Math.max(size[0], size[1]) < LEAST) { return; }
      frame = frame || plot.appendChild(document.createElementNS(shape, "rect"));
      frame.setAttribute("class", "brush");
      ["x", "y"].forEach(function (side, i) { frame.setAttribute(side, Math.min(now[i], start[i])); });
      ["width", "height"].forEach(function (side, i) { frame.setAttribute(side, size[i]); });
    });
    window.addEventListener("pointerup", function (event) {
      if (start && frame) {
        var end = held(place(event));
        axes.forEach(function (axis, i) { narrowTo(axis, start[i], end[i]); });
        frame.remove();
        plot.dragged = true;
        setTimeout(function () { plot.dragged = false; }, 0);
        show();
      }
      start = frame = null;
    });
    plot.addEventListener("click", function (event) { if (plot.dragged) { event.preventDefault(); } }, true);
  }

  document.querySelectorAll("svg.scatter").forEach(brushed);
  ranges.concat(calls).forEach(function (input) { input.addEventListener("input", show); });
  [panel, notice].forEach(function (part) { part.querySelector("button").addEventListener("click", all); });
  picks.forEach(function (pick) {
    pick.addEventListener("click", function () {
      if (document.getElementById(pick.getAttribute("href").slice(1)).hidden) { all(); }
    });
  });
  show();
})();
