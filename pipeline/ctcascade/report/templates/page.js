(function () {
  "use strict";
  var root = document.documentElement;
  root.classList.add("js");

  function key(row, column) {
    var cell = row.cells[column];
    var text = cell.hasAttribute("data-sort") ? cell.getAttribute("data-sort") : cell.textContent.trim();
    var number = parseFloat(text.replace(/[\s\u2009\u202f]/g, ""));
    return isNaN(number) ? text.toLowerCase() : number;
  }

  function order(table, header, column) {
    var down = header.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("th[aria-sort]").forEach(function (other) { other.removeAttribute("aria-sort"); });
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    var body = table.tBodies[0];
    Array.from(body.rows).map(function (row, i) { return { row: row, at: key(row, column), i: i }; })
      .sort(function (a, b) {
        var one = typeof a.at === "number", two = typeof b.at === "number";
        if (one !== two) { return one ? -1 : 1; }
        var by = a.at < b.at ? -1 : a.at > b.at ? 1 : a.i - b.i;
        return down ? -by : by;
      })
      .forEach(function (item) { body.appendChild(item.row); });
  }

  document.querySelectorAll("table.sortable").forEach(function (table) {
    Array.from(table.tHead.rows[0].cells).forEach(function (header, column) {
      if (header.classList.contains("fixed")) { return; }
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = header.textContent;
      header.textContent = "";
      header.appendChild(button);
      button.addEventListener("click", function () { order(table, header, column); });
    });
  });

  document.querySelectorAll("input[data-filters]").forEach(function (input) {
    var table = document.getElementById(input.getAttribute("data-filters"));
    var status = document.getElementById(input.getAttribute("data-status"));
    input.addEventListener("input", function () {
      var wanted = input.value.toLowerCase(), shown = 0;
      Array.from(table.tBodies[0].rows).forEach(function (row) {
        row.hidden = row.textContent.toLowerCase().indexOf(wanted) < 0;
        shown += row.hidden ? 0 : 1;
      });
      status.textContent = shown + " of " + table.tBodies[0].rows.length + " rows";
    });
  });

  window.ctcascade = {};
  ctcascade.download = download;

  function download(text, name) {
    var link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = name;
    link.click();
    setTimeout(function () { URL.revokeObjectURL(link.href); }, 10000);
  }

  document.querySelectorAll("button[data-exports]").forEach(function (button) {
    var table = document.getElementById(button.getAttribute("data-exports"));
    button.addEventListener("click", function () {
      var rows = Array.from(table.tBodies[0].rows).filter(function (row) { return !row.hidden; });
      var lines = [table].concat(rows).map(function (part) { return JSON.parse(part.getAttribute("data-csv")); });
      download(lines.join("\n") + "\n", table.id.replace("-table", ".csv"));
    });
  });

  var contrast = document.getElementById("contrast"), outlines = document.getElementById("outlines");
  if (contrast) {
    contrast.addEventListener("input", function () { root.style.setProperty("--contrast", contrast.value); });
    outlines.addEventListener("change", function () { root.classList.toggle("no-contour", !outlines.checked); });
  }
})();
