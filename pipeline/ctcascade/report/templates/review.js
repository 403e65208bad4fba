// Review of the cells: one verdict per cell, kept in memory and, where available, in the browser's local storage.
(function () {
  "use strict";
  var REJECTED = "debris";
  var COLUMNS = ["sample", "calls_sha256", "reviewer", "frame", "cell", "y_px", "x_px", "call", "score", "clustered", "note"];

  function keyOf(cell) { return JSON.stringify([cell.frame, cell.cell]); }

  function words(call) { return call === "ctc" ? "CTC" : call.replace("_", " "); }

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

  // `cells` are all that can be reviewed, in the order of the export; of the first `counted` the page says how many are done.
  ctcascade.review = function (section, cells, counted) {
    var sample = JSON.parse(section.getAttribute("data-review-of")), calls = section.getAttribute("data-calls");
    var choices = JSON.parse(section.getAttribute("data-choices")), panel = section.querySelector(".review-panel");
    var reviewer = panel.querySelector(".reviewer"), status = panel.querySelector(".status");
    var asText = panel.querySelector(".as-text"), place = "ctcascade review " + sample + " " + calls;
    var verdicts = new Map(), known = new Map(), built = [], listeners = [];
    cells.forEach(function (cell) { if (!known.has(keyOf(cell))) { known.set(keyOf(cell), cell); } });
    panel.hidden = false;

    function recall() {
      try {
        var kept = JSON.parse(localStorage.getItem(place)) || {};
        reviewer.value = kept.reviewer || "";
        (kept.verdicts || kept.said || []).forEach(function (pair) { if (known.has(pair[0])) { verdicts.set(pair[0], pair[1]); } });
      } catch (error) { /* no local storage: verdicts last as long as the page is open */ }
    }

    function keep() {
      try {
        localStorage.setItem(place, JSON.stringify({ reviewer: reviewer.value, verdicts: Array.from(verdicts) }));
      } catch (error) { /* as above */ }
    }

    function csv() {
      var lines = [COLUMNS.join(",")];
      known.forEach(function (cell, key) {
        var verdict = verdicts.get(key);
        if (!verdict) { return; }
        lines.push([sample, calls, reviewer.value, cell.frame, cell.cell, cell.y_px, cell.x_px, verdict.call || cell.call,
          verdict.score, verdict.clustered, verdict.note].map(quoted).join(","));
      });
      return lines.join("\n") + "\n";
    }

    function said(text, bad) {
      status.textContent = text;
      status.classList.toggle("bad", Boolean(bad));
    }

    function progress() {
      var done = cells.slice(0, counted).filter(function (cell) { return verdicts.has(keyOf(cell)); }).length;
      said(done + " of " + counted + " cells reviewed" + (verdicts.size > done ? ", and " + (verdicts.size - done) + " others" : ""));
    }

    // A card says in colour and in words what was decided about it.
    function showCard(card) {
      var own = card.asked.map(function (cell) { return verdicts.get(keyOf(cell)); });
      var every = own.every(Boolean), one = every ? own[0] : {};
      var alike = every && own.every(function (v) { return v.call === one.call; });
      var accepted = every && own.every(function (v, i) { return v.call === card.asked[i].call; });
      var apart = every && one.clustered === "no";
      var kind = !every ? "" : accepted ? "accepted" : alike && one.call === REJECTED ? "rejected" : alike && one.call === "uncertain" ? "unsure" : "changed";
      card.classList.toggle("reviewed", every);
      ["accepted", "rejected", "unsure", "changed"].forEach(function (name) { card.classList.toggle(name, name === kind); });
      card.verdict.textContent = !kind ? "" : kind === "accepted" ? "✓ accepted" + (apart ? ", adjacent only" : "")
        : kind === "rejected" ? "✗ rejected: debris" : "→ " + (alike ? words(one.call) : "several calls");
      card.accept.setAttribute("aria-pressed", String(accepted));
      card.reject.setAttribute("aria-pressed", String(alike && one.call === REJECTED));
      card.choice.value = alike ? one.call : "";
      card.score.value = one.score === undefined ? "" : one.score;
      if (card.note !== document.activeElement) { card.note.value = one.note || ""; }
      if (card.apart) { card.apart.setAttribute("aria-pressed", String(apart)); }
    }

    function changed(card) {
      keep();
      built.forEach(function (other) { if (other === card || other.asked.length > 1 || card.asked.length > 1) { showCard(other); } });
      progress();
      asText.value = csv();
      listeners.forEach(function (tell) { tell(); });
    }

    function say(card, change) {
      card.asked.forEach(function (cell) {
        var old = verdicts.get(keyOf(cell)) || { call: cell.call };
        verdicts.set(keyOf(cell), Object.assign({}, old, change === "accept" ? { call: cell.call } : change));
      });
      changed(card);
    }

    function takeBack(card) {
      card.asked.forEach(function (cell) { verdicts.delete(keyOf(cell)); });
      changed(card);
    }

    function build(card) {
      card.asked = JSON.parse(card.getAttribute("data-ask"));
      card.verdict = element(card.querySelector("h4"), "strong", { "class": "verdict" });
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
      choices.forEach(function (call) { element(card.choice, "option", { value: call }, words(call)); });
      ["", "0", "1", "2", "3", "4"].forEach(function (n) { element(card.score, "option", { value: n }, n || "score …"); });
      card.note = element(row, "input", { type: "text", "aria-label": "Note", placeholder: "note", maxlength: "500" });
      card.accept.addEventListener("click", function () { say(card, "accept"); });
      card.reject.addEventListener("click", function () { say(card, { call: REJECTED }); });
      card.choice.addEventListener("change", function () {
        if (card.choice.value) { say(card, { call: card.choice.value }); } else { takeBack(card); }
      });
      card.score.addEventListener("change", function () { say(card, { score: card.score.value }); });
      card.note.addEventListener("input", function () { say(card, { note: card.note.value }); });
      built.push(card);
      showCard(card);
    }

    function exportReview() {
      if (!/^[A-Za-z0-9_-]{1,32}$/.test(reviewer.value)) {
        said(reviewer.value ? "The reviewer's name may hold letters, digits, _ and -" : "Enter the reviewer's initials first, then export", true);
        reviewer.setAttribute("aria-invalid", "true");
        reviewer.focus();
        return;
      }
      if (!verdicts.size) { said("No cell has been reviewed yet", true); return; }
      var name = sample + "." + reviewer.value + ".csv";
      ctcascade.download(csv(), name);
      said("Exported " + name + ": " + verdicts.size + " cells. Put it into the folder of reviews and run again.");
    }

    recall();
    reviewer.addEventListener("input", function () {
      reviewer.removeAttribute("aria-invalid");
      keep();
      progress();
      asText.value = csv();
    });
    panel.querySelector(".export").addEventListener("click", exportReview);
    asText.value = csv();
    progress();
    return {
      build: build, say: say, takeBack: takeBack, exportReview: exportReview, rejected: REJECTED,
      has: function (cell) { return verdicts.has(keyOf(cell)); },
      onChange: function (tell) { listeners.push(tell); }
    };
  };
})();
