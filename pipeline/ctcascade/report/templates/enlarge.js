// A cell enlarged, with the contrast of each channel: the merged picture is made again from the channels.
(function () {
  "use strict";
  var dialog = document.querySelector("dialog.enlarged");
  ctcascade.enlarge = ctcascade.enlargeIsOpen = function () {};
  if (!dialog || !dialog.showModal) { return; }
  var views = dialog.querySelector(".views"), sliders = dialog.querySelector(".sliders"), title = dialog.querySelector("h3");
  var colours = JSON.parse(dialog.getAttribute("data-colours")), gains = {}, shown = null;

  function pixels(image) {
    var held = new Image();
    held.src = image.getAttribute("href");
    return held.decode().then(function () {
      var canvas = document.createElement("canvas");
      canvas.width = held.naturalWidth;
      canvas.height = held.naturalHeight;
      var drawing = canvas.getContext("2d", { willReadFrequently: true });
      drawing.drawImage(held, 0, 0);
      return { canvas: canvas, drawing: drawing, data: drawing.getImageData(0, 0, canvas.width, canvas.height) };
    });
  }

  function draw(parts) {
    var merged = parts.filter(function (p) { return p.role === "merged"; })[0], channels = parts.filter(function (p) { return p.role !== "merged"; });
    var sum = new Float32Array(merged ? merged.held.data.data.length : 0);
    channels.forEach(function (part) {
      var from = part.held.data.data, to = part.held.drawing.createImageData(part.held.data), gain = gains[part.role] || 1, colour = colours[part.role];
      for (var i = 0; i < from.length; i += 4) {
        var grey = Math.min(255, from[i] * gain);
        to.data[i] = to.data[i + 1] = to.data[i + 2] = grey;
        to.data[i + 3] = 255;
        if (colour && sum.length === from.length) { for (var c = 0; c < 3; c += 1) { sum[i + c] += grey * colour[c]; } }
      }
      part.held.drawing.putImageData(to, 0, 0);
      part.image.setAttribute("href", part.held.canvas.toDataURL());
    });
    if (merged) {
      var out = merged.held.drawing.createImageData(merged.held.data);
      for (var j = 0; j < sum.length; j += 1) { out.data[j] = j % 4 === 3 ? 255 : Math.min(255, Math.round(sum[j])); }
      merged.held.drawing.putImageData(out, 0, 0);
      merged.image.setAttribute("href", merged.held.canvas.toDataURL());
    }
  }

  function slider(part, again) {
    var label = document.createElement("label"), input = document.createElement("input");
    label.textContent = part.name + " ";
    Object.entries({ type: "range", min: "0.25", max: "6", step: "0.05", "aria-label": "Contrast of " + part.name, value: String(gains[part.role] || 1) })
      .forEach(function (pair) { input.setAttribute(pair[0], pair[1]); });
    input.addEventListener("input", function () { gains[part.role] = Number(input.value); again(); });
    label.appendChild(input);
    sliders.appendChild(label);
  }

  function show(card) {
    shown = card;
    title.textContent = card.getAttribute("aria-label") + ": " + card.querySelector(".tag").textContent;
    views.replaceChildren();
    sliders.replaceChildren();
    var parts = Array.from(card.querySelectorAll(".views figure")).map(function (figure) {
      var own = views.appendChild(figure.cloneNode(true));
      return { role: figure.getAttribute("data-role"), name: figure.querySelector("figcaption").textContent, image: own.querySelector("image") };
    });
    Promise.all(parts.map(function (part) { return pixels(part.image).then(function (held) { part.held = held; }); })).then(function () {
      if (shown !== card) { return; }
      parts.filter(function (p) { return p.role !== "merged"; }).forEach(function (part) { slider(part, function () { draw(parts); }); });
      draw(parts);
    });
  }

  ctcascade.enlarge = function (card) {
    if (!card.querySelector(".views figure")) { return; }
    show(card);
    if (!dialog.open) { dialog.showModal(); }
  };
  ctcascade.enlargeIsOpen = function (card) { if (dialog.open && card !== shown) { ctcascade.enlarge(card); } };
  dialog.querySelector(".close").addEventListener("click", function () { dialog.close(); });
  dialog.querySelector(".reset").addEventListener("click", function () { gains = {}; show(shown); });
  dialog.querySelector(".previous").addEventListener("click", function () { ctcascade.gallery.step(-1); });
  dialog.querySelector(".next").addEventListener("click", function () { ctcascade.gallery.step(1); });
  dialog.addEventListener("close", function () { if (shown) { shown.focus({ preventScroll: true }); } });
})();
