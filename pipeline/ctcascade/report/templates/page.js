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
    if (filtered.has(table)) { paged(table); }
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

  // Filters of linked tables act together; after them, fifty rows are on a page. `out` says that a filter hides the row.
  var ROWS = 50, filtered = new Map();

  function rowsOf(table) { return Array.from(table.tBodies[0].rows); }

  function paged(table) {
    var bar = document.querySelector("[data-pages='" + table.id + "']"), rows = rowsOf(table).filter(function (row) { return !row.out; });
    var pages = Math.max(1, Math.ceil(rows.length / ROWS));
    table.page = Math.min(Math.max(table.page || 0, 0), pages - 1);
    rowsOf(table).forEach(function (row) { row.hidden = true; });
    rows.slice(table.page * ROWS, (table.page + 1) * ROWS).forEach(function (row) { row.hidden = false; });
    bar.hidden = pages < 2;
    bar.querySelector(".at").textContent = (table.page * ROWS + 1) + " to " + Math.min(rows.length, (table.page + 1) * ROWS) + " of " + rows.length;
    bar.querySelector(".previous").disabled = table.page === 0;
    bar.querySelector(".next").disabled = table.page === pages - 1;
  }

  function filterAll() {
    filtered.forEach(function (input, table) {
      var wanted = input.value.toLowerCase();
      table.found = rowsOf(table).filter(function (row) { return row.textContent.toLowerCase().indexOf(wanted) >= 0; });
      table.patients = new Set(table.found.map(function (row) { return row.getAttribute("data-patient"); }));
    });
    filtered.forEach(function (input, table) {
      var other = document.getElementById(table.getAttribute("data-linked")), own = new Set(table.found), shown = 0;
      var narrows = other && filtered.get(other) && filtered.get(other).value !== "";
      rowsOf(table).forEach(function (row) {
        row.out = !own.has(row) || Boolean(narrows && !other.patients.has(row.getAttribute("data-patient")));
        shown += row.out ? 0 : 1;
      });
      var any = input.value !== "" || narrows;
      document.getElementById(input.getAttribute("data-status")).textContent = any ? shown + " of " + rowsOf(table).length + " rows" : "";
      paged(table);
    });
  }

  document.querySelectorAll("input[data-filters]").forEach(function (input) {
    var table = document.getElementById(input.getAttribute("data-filters"));
    filtered.set(table, input);
    input.addEventListener("input", function () { table.page = 0; filterAll(); });
  });
  document.querySelectorAll("[data-pages]").forEach(function (bar) {
    var table = document.getElementById(bar.getAttribute("data-pages"));
    bar.querySelector(".previous").addEventListener("click", function () { table.page -= 1; paged(table); });
    bar.querySelector(".next").addEventListener("click", function () { table.page += 1; paged(table); });
  });
  if (filtered.size) { filterAll(); }
  window.addEventListener("beforeprint", function () { // paper has no pages of rows
    filtered.forEach(function (_, table) { rowsOf(table).forEach(function (row) { row.hidden = row.out; }); });
  });
  window.addEventListener("afterprint", function () { filtered.forEach(function (_, table) { paged(table); }); });

  // What is wider than its place says that it goes on.
  function tellMore() {
    document.querySelectorAll(".scroll").forEach(function (box) {
      var more = box.scrollWidth - box.clientWidth - box.scrollLeft > 4;
      if (more) { box.setAttribute("data-more", "more to the right \u2192"); } else { box.removeAttribute("data-more"); }
    });
  }
  document.querySelectorAll(".scroll").forEach(function (box) { box.addEventListener("scroll", tellMore); });
  window.addEventListener("resize", tellMore);
  document.addEventListener("toggle", tellMore, true);
  tellMore();

  // A link to something folded away opens it.
  function unfold() {
    var aimed = location.hash ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
    for (var at = aimed; at; at = at.parentElement) { if (at.tagName === "DETAILS") { at.open = true; } }
    if (aimed && aimed.nextElementSibling && aimed.nextElementSibling.tagName === "DETAILS") { aimed.nextElementSibling.open = true; }
    if (aimed) { aimed.scrollIntoView(); }
  }
  window.addEventListener("hashchange", unfold);
  if (location.hash) { unfold(); }

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
      var rows = Array.from(table.tBodies[0].rows).filter(function (row) { return !row.out; });
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
