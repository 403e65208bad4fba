// The gallery: which cells are shown in which order, page by page; the keyboard; cells that lie in a file beside the page.
(function () {
  "use strict";
  var section = document.querySelector("section[data-cells]");
  if (!section) { return; }
  var all = JSON.parse(section.getAttribute("data-cells")), total = all.cell.length, ON_PAGE = window.innerWidth < 600 ? 12 : 48;
  var inPage = Number(section.getAttribute("data-in-page"));
  var list = section.querySelector(".gallery.single"), pager = section.querySelector(".pager"), empty = section.querySelector(".empty");
  var fixed = Array.from(section.querySelectorAll("article[data-cluster]")), extra = Array.from(section.querySelectorAll(".near-misses article[data-ask], .unlike article[data-ask]"));
  var box = section.querySelector(".filters"), notice = section.querySelector(".narrowed"), status = box.querySelector("[role=status]");
  var ranges = Array.from(document.querySelectorAll(".narrow input[type=number]")), calls = Array.from(box.querySelectorAll("input[data-call]"));
  var which = box.querySelector(".which"), frame = box.querySelector(".frame"), sort = box.querySelector(".sort");
  var cards = new Array(total), later = null, loading = null, order = [], page = 0, here = null, listeners = [];
  var KEYS = { c: "ctc", l: "leukocyte", p: "double_positive", n: "dna_only", u: "uncertain" };
  var sure = Number(section.getAttribute("data-sure"));

  function cellOf(n) {
    return { frame: all.frames[all.frame[n]], cell: all.cell[n], y_px: all.y_px[n], x_px: all.x_px[n], call: all.calls[all.call[n]] };
  }

  var candidates = all.cell.map(function (_, n) { return cellOf(n); });
  function askedOf(found) { return found.reduce(function (sum, card) { return sum.concat(JSON.parse(card.getAttribute("data-ask"))); }, []); }
  var known = new Set(candidates.map(function (c) { return c.frame + "\n" + c.cell; }));
  var others = askedOf(fixed).filter(function (c) { return !known.has(c.frame + "\n" + c.cell); }).concat(askedOf(extra));
  var review = ctcascade.review(section, candidates.concat(others), total);

  function own(card) {
    review.build(card);
    card.addEventListener("focusin", function () { here = card; });
    card.addEventListener("click", function (event) { if (event.target.closest(".views")) { ctcascade.enlarge(card); } });
  }

  function take(card) {
    var n = Number(card.getAttribute("data-number"));
    cards[n] = card;
    own(card);
  }

  Array.from(list.querySelectorAll("article")).forEach(take);
  fixed.concat(extra).forEach(own);
  section.querySelectorAll(".leukocytes article").forEach(function (card) {
    card.addEventListener("click", function () { ctcascade.enlarge(card); });
    card.addEventListener("keydown", function (event) { if (event.key === "Enter") { ctcascade.enlarge(card); } });
  });

  // The file beside the page calls this with the cards that it holds, as text; a card is made when it is shown.
  window.ctcascadeCards = function (texts) { later = texts; };

  function make(n) {
    var text = cards[n] ? null : later && later[n - inPage];
    if (text) { take(document.adoptNode(new DOMParser().parseFromString(text, "text/html").querySelector("article"))); }
  }

  function fetchCards(numbers, then) {
    function done() {
      numbers.forEach(make);
      then();
    }
    if (later || numbers.every(function (n) { return cards[n]; })) { done(); return; }
    if (loading) { loading.push(done); return; }
    loading = [done];
    var script = document.createElement("script");
    script.src = section.getAttribute("data-file");
    script.onload = script.onerror = function () {
      later = later || [];
      loading.forEach(function (tell) { tell(); });
    };
    document.head.appendChild(script);
  }

  function fits(n) {
    var reviewed = which.value === "open" || which.value === "done" ? review.has(candidates[n]) : false;
    return (which.value !== "open" || !reviewed) && (which.value !== "done" || reviewed) &&
      (which.value !== "doubt" || all.doubt[n] !== sure) &&
      (frame.value === "" || all.frame[n] === Number(frame.value)) &&
      calls.every(function (c) { return c.checked || c.getAttribute("data-call") !== all.calls[all.call[n]]; }) &&
      ranges.every(function (input) {
        var limit = parseFloat(input.value), low = input.getAttribute("data-from");
        var value = all.values[low || input.getAttribute("data-to")][n];
        return isNaN(limit) || (value !== null && (low ? value >= limit : value <= limit));
      });
  }

  function sorted(found) {
    var by = sort.value, column = by === "frame" ? all.frame : all.values[by];
    if (!column) { return found; }
    return found.slice().sort(function (a, b) {
      var one = column[a], two = column[b];
      if (one === two) { return by === "frame" ? all.cell[a] - all.cell[b] : a - b; }
      if (one === null || two === null) { return one === null ? 1 : -1; }
      return by === "frame" ? one - two : two - one;
    });
  }

  function narrowed() {
    return which.value !== "all" || frame.value !== "" || calls.some(function (c) { return !c.checked; }) ||
      ranges.some(function (input) { return input.value !== ""; });
  }

  function show(then) {
    var pages = Math.max(1, Math.ceil(order.length / ON_PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    var numbers = order.slice(page * ON_PAGE, (page + 1) * ON_PAGE), asked = page;
    fetchCards(numbers, function () {
      if (asked !== page) { return; }
      var there = numbers.map(function (n) { return cards[n]; }).filter(Boolean);
      list.replaceChildren.apply(list, there);
      empty.hidden = there.length > 0 || !total;
      empty.textContent = numbers.length ? "The pictures of these cells lie in the file " + section.getAttribute("data-file") +
        " beside this page, and could not be loaded: copy it with the page." : "No cell fits these filters.";
      pager.hidden = pages < 2;
      pager.querySelector(".at").textContent = "page " + (page + 1) + " of " + pages;
      pager.querySelector(".previous").disabled = page === 0;
      pager.querySelector(".next").disabled = page === pages - 1;
      if (then) { then(); }
    });
  }

  function filter(stay) {
    var found = all.cell.map(function (_, n) { return n; }).filter(fits);
    order = sorted(found);
    if (!stay) { page = 0; }
    var within = new Set(found);
    fixed.forEach(function (card) {
      card.hidden = narrowed() && !card.asked.some(function (c) { return candidates.some(function (d, n) { return d.cell === c.cell && d.frame === c.frame && within.has(n); }); });
    });
    status.textContent = found.length + " of " + total + " cells shown";
    notice.hidden = found.length === total;
    notice.firstElementChild.textContent = "Filtered: " + status.textContent + ".";
    listeners.forEach(function (tell) { tell(within); });
    show();
  }

  function all_() {
    ranges.forEach(function (input) { input.value = ""; });
    calls.forEach(function (c) { c.checked = true; });
    which.value = "all";
    frame.value = "";
    filter();
  }

  function focusOn(card) {
    here = card;
    card.focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest" });
    ctcascade.enlargeIsOpen(card);
  }

  function goTo(n, then) {
    var at = order.indexOf(n);
    if (at < 0) { all_(); at = order.indexOf(n); }
    page = Math.floor(at / ON_PAGE);
    show(function () { if (cards[n]) { focusOn(cards[n]); if (then) { then(cards[n]); } } });
  }

  function step(by) {
    var shownFixed = fixed.filter(function (card) { return !card.hidden; }), first = shownFixed.length;
    var at = here === null ? (by > 0 ? -1 : 0) : fixed.indexOf(here) >= 0 ? shownFixed.indexOf(here)
      : extra.indexOf(here) >= 0 ? first + order.length + extra.indexOf(here) : first + order.indexOf(Number(here.getAttribute("data-number")));
    var next = at + by;
    if (next < 0 || next >= first + order.length + extra.length) { return; }
    if (next < first) { focusOn(shownFixed[next]); }
    else if (next < first + order.length) { goTo(order[next - first]); }
    else { focusOn(extra[next - first - order.length]); }
  }

  function turn(by) { page += by; show(function () { list.scrollIntoView({ block: "start" }); }); }

  function onKey(event) {
    var typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && !/^(range|checkbox)$/.test(event.target.type);
    if (typing || event.ctrlKey || event.altKey || event.metaKey) { return; }
    var key = event.key;
    if (key === "j") { step(1); } else if (key === "k") { step(-1); }
    else if (key === "x") { review.exportReview(); }
    else if (key === "]") { turn(1); } else if (key === "[") { turn(-1); }
    else if (key === "o") { which.value = which.value === "open" ? "all" : "open"; filter(); }
    else if (key === "?") { section.querySelector(".keys").open = !section.querySelector(".keys").open; }
    else if (!here) { return; }
    else if (key === "e") { ctcascade.enlarge(here); }
    else if (key === "a") { review.say(here, "accept"); }
    else if (key === "r") { review.say(here, { call: review.rejected }); }
    else if (key === "z") { review.takeBack(here); }
    else if (key === "s" && here.apart) { review.say(here, { clustered: "no" }); }
    else if (Object.prototype.hasOwnProperty.call(KEYS, key)) { review.say(here, { call: KEYS[key] }); }
    else if (/^[0-4]$/.test(key)) { review.say(here, { score: key }); }
    else { return; }
    event.preventDefault();
  }

  ctcascade.gallery = {
    goTo: goTo, step: step, filter: filter, all: all_, ranges: ranges, total: total,
    onFilter: function (tell) { listeners.push(tell); }
  };
  ranges.concat(calls).forEach(function (input) { input.addEventListener("input", function () { filter(); }); });
  [which, frame, sort].forEach(function (input) { input.addEventListener("change", function () { filter(); }); });
  [notice, document.querySelector(".narrow")].forEach(function (part) {
    if (part) { part.querySelector("button.all").addEventListener("click", all_); }
  });
  pager.querySelector(".previous").addEventListener("click", function () { turn(-1); });
  pager.querySelector(".next").addEventListener("click", function () { turn(1); });
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", function (event) {
    var link = event.target.closest("a[data-cell]");
    if (!link || event.defaultPrevented) { return; }
    event.preventDefault();
    goTo(Number(link.getAttribute("data-cell")), function (card) { location.hash = "#" + card.id; });
  });
  document.addEventListener("DOMContentLoaded", function () {
    filter();
    var aimed = location.hash ? document.getElementById(location.hash.slice(1)) : null;
    if (aimed && aimed.hasAttribute("data-number")) { goTo(Number(aimed.getAttribute("data-number"))); }
  });
})();
