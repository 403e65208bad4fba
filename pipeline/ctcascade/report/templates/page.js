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

  // Review of the cells: one verdict per cell, kept in memory and, where available, in the browser's local storage.
  var REJECTED = "debris";
  var KEYS = { c: "ctc", l: "leukocyte", p: "double_positive", n: "dna_only", u: "uncertain", r: REJECTED };
  var COLUMNS = ["sample", "calls_sha256", "reviewer", "frame", "cell", "y_px", "x_px", "call", "score", "clustered", "note"];

  function keyOf(cell) { return JSON.stringify([cell.frame, cell.cell]); }

  function quoted(value) {
    var text = value === undefined || value === null ? "" : String(value);
    return /[",\r\n]/.test(text) ? "\"" + text.replace(/"/g, "\"\"") + "\"" : text;
  }

  function element(parent, tag, attributes, text) {
    var made = document.createElement(tag);
    Object.keys(attributes).forEach(function (name) { made.setAttribute(name, attributes[name]); });
    made.textContent = text || "";
    return parent.appendChild(made);
  }

  function review(section) {
    var sample = JSON.parse(section.getAttribute("data-review-of")), calls = section.getAttribute("data-calls");
    var choices = JSON.parse(section.getAttribute("data-choices"));
    var panel = section.querySelector(".review-panel");
    if (!panel) { return; }
    var reviewer = panel.querySelector(".reviewer"), status = panel.querySelector(".status");
    var asText = panel.querySelector(".as-text"), place = "ctcascade review " + sample + " " + calls;
    var cards = Array.from(section.querySelectorAll("[data-ask]")), cells = new Map(), verdicts = new Map();
    var here = -1;
    panel.hidden = false;

    cards.forEach(function (card) {
      card.asked = JSON.parse(card.getAttribute("data-ask"));
      card.asked.forEach(function (cell) { if (!cells.has(keyOf(cell))) { cells.set(keyOf(cell), cell); } });
    });

    function recall() {
      try {
        var kept = JSON.parse(localStorage.getItem(place)) || {};
        reviewer.value = kept.reviewer || "";
        (kept.verdicts || kept.said || []).forEach(function (pair) { if (cells.has(pair[0])) { verdicts.set(pair[0], pair[1]); } });
      } catch (error) { /* no local storage: verdicts last as long as the page is open */ }
    }

    function keep() {
      try {
        localStorage.setItem(place, JSON.stringify({ reviewer: reviewer.value, verdicts: Array.from(verdicts) }));
      } catch (error) { /* as above */ }
    }

    function csv() {
      var lines = [COLUMNS.join(",")];
      cells.forEach(function (cell, key) {
        var verdict = verdicts.get(key);
        if (!verdict) { return; }
        lines.push([sample, calls, reviewer.value, cell.frame, cell.cell, cell.y_px, cell.x_px, verdict.call || cell.call,
          verdict.score, verdict.clustered, verdict.note].map(quoted).join(","));
      });
      return lines.join("\n") + "\n";
    }

    function show() {
      cards.forEach(function (card) {
        var own = card.asked.map(function (cell) { return verdicts.get(keyOf(cell)); });
        var every = own.every(Boolean), one = every ? own[0] : {};
        var alike = every && own.every(function (v) { return v.call === one.call; });
        var accepted = every && own.every(function (v, i) { return v.call === card.asked[i].call; });
        card.classList.toggle("reviewed", every);
        card.accept.setAttribute("aria-pressed", String(accepted));
        card.reject.setAttribute("aria-pressed", String(alike && one.call === REJECTED));
        card.choice.value = alike ? one.call : "";
        card.score.value = one.score === undefined ? "" : one.score;
        if (card.note !== document.activeElement) { card.note.value = one.note || ""; }
        if (card.apart) { card.apart.setAttribute("aria-pressed", String(one.clustered === "no")); }
      });
      asText.value = csv();
      status.textContent = verdicts.size + " of " + cells.size + " cells reviewed";
    }

    function say(card, change) {
      card.asked.forEach(function (cell) {
        var old = verdicts.get(keyOf(cell)) || { call: cell.call };
        verdicts.set(keyOf(cell), Object.assign({}, old, change === "accept" ? { call: cell.call } : change));
      });
      keep();
      show();
    }

    function takeBack(card) {
      card.asked.forEach(function (cell) { verdicts.delete(keyOf(cell)); });
      keep();
      show();
    }

    function build(card, at) {
      var row = element(card, "div", { "class": "asked", role: "group", "aria-label": "Your review" });
      card.accept = element(row, "button", { type: "button", title: "key a" }, "Accept");
      card.reject = element(row, "button", { type: "button", title: "key r" }, "Reject");
      if (card.hasAttribute("data-cluster")) {
        card.apart = element(row, "button", { type: "button", title: "key s" }, "Adjacent only");
        card.apart.addEventListener("click", function () { say(card, { clustered: "no" }); });
      }
      card.choice = element(row, "select", { "aria-label": "Call" });
      card.score = element(row, "select", { "aria-label": "Score, 0 certainly not a CTC to 4 certainly a CTC" });
      element(card.choice, "option", { value: "" }, "call …");
      choices.forEach(function (call) { element(card.choice, "option", { value: call }, call.replace("_", " ")); });
      ["", "0", "1", "2", "3", "4"].forEach(function (n) { element(card.score, "option", { value: n }, n || "score …"); });
      card.note = element(row, "input", { type: "text", "aria-label": "Note", placeholder: "note", maxlength: "500" });
      card.accept.addEventListener("click", function () { say(card, "accept"); });
      card.reject.addEventListener("click", function () { say(card, { call: REJECTED }); });
      card.choice.addEventListener("change", function () {
        if (card.choice.value) { say(card, { call: card.choice.value }); } else { takeBack(card); }
      });
      card.score.addEventListener("change", function () { say(card, { score: card.score.value }); });
      card.note.addEventListener("input", function () { say(card, { note: card.note.value }); });
      card.addEventListener("focusin", function () { here = at; });
    }

    function go(step) {
      var next = here + step;
      while (cards[next] && cards[next].hidden) { next += step; }
      if (!cards[next]) { return; }
      here = next;
      cards[here].focus({ preventScroll: true });
      cards[here].scrollIntoView({ block: "nearest" });
    }

    function onKey(event) {
      var typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
      if (typing || event.ctrlKey || event.altKey || event.metaKey) { return; }
      var card = cards[here], key = event.key;
      if (key === "j") { go(1); } else if (key === "k") { go(-1); }
      else if (!card) { return; }
      else if (key === "a") { say(card, "accept"); }
      else if (key === "z") { takeBack(card); }
      else if (key === "s" && card.apart) { say(card, { clustered: "no" }); }
      else if (Object.prototype.hasOwnProperty.call(KEYS, key)) { say(card, { call: KEYS[key] }); }
      else if (/^[0-4]$/.test(key)) { say(card, { score: key }); }
      else { return; }
      event.preventDefault();
    }

    function exportReview() {
      if (!/^[A-Za-z0-9_-]{1,32}$/.test(reviewer.value)) {
        status.textContent = "Enter the reviewer: letters, digits, _ or -";
        reviewer.focus();
        return;
      }
      if (!verdicts.size) { status.textContent = "No cell has been reviewed yet"; return; }
      var name = sample + "." + reviewer.value + ".csv";
      download(csv(), name);
      status.textContent = "Exported " + name + ": " + verdicts.size + " cells";
    }

    recall();
    cards.forEach(build);
    reviewer.addEventListener("input", function () { keep(); show(); });
    panel.querySelector(".export").addEventListener("click", exportReview);
    document.addEventListener("keydown", onKey);
    show();
  }

  document.querySelectorAll("[data-review-of]").forEach(review);
})();
