"use strict";
(function () {
  var data = JSON.parse(document.getElementById("report-data").textContent);
  var all = data.patients, set = data.shared, at = 0, shift = 0;
  var $ = function (id) { return document.getElementById(id); };
  var NS = "http://www.w3.org/2000/svg";

  function num(v, digits) {
    if (v === null || v === undefined) return "–";
    var d = digits === undefined ? 3 : digits, a = Math.abs(v);
    var places = v === Math.round(v) ? 0 : Math.max(0, d - 1 - Math.floor(Math.log10(a || 1)));
    var text = v.toFixed(Math.min(places, 6));
    return Number(text) === 0 ? "0" : text.replace("-", "−");
  }
  function chance(v) { // from draws, of which there are only so many: never quite none or all
    if (v === null || v === undefined) return "–";
    if (v >= 0.995) return "> 99 %";
    if (v < 0.005) return "< 1 %";
    return Math.round(100 * v) + " %";
  }
  function around(v, places) {
    var text = v.toFixed(places);
    return Number(text) === 0 ? "0" : (v > 0 ? "+" : "") + text.replace("-", "−");
  }
  function signed(v) { return (v > 0 ? "+" : "") + num(v); }
  function el(tag, attrs, text) {
    var node = document.createElement(tag);
    for (var k in attrs || {}) node.setAttribute(k, attrs[k]);
    if (text !== undefined) node.textContent = text;
    return node;
  }
  function svg(tag, attrs, text) {
    var node = document.createElementNS(NS, tag);
    for (var k in attrs) node.setAttribute(k, attrs[k]);
    if (text !== undefined) node.textContent = text;
    return node;
  }
  function clear(node) { while (node.firstChild) node.removeChild(node.firstChild); return node; }
  function ticks(low, high, most) {
    var rough = (high - low) / most, power = Math.pow(10, Math.floor(Math.log10(rough || 1)));
    var step = [1, 2, 5, 10].map(function (m) { return m * power; }).filter(function (s) { return s >= rough * 0.999; })[0];
    var out = [];
    for (var k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9; k++) out.push(Number((k * step).toPrecision(12)));
    return out;
  }
  function path(xs, ys, close) {
    var d = "", pen = "M";
    for (var i = 0; i < xs.length; i++) {
      if (ys[i] === null || ys[i] === undefined) { pen = "M"; continue; }
      d += pen + xs[i].toFixed(1) + " " + ys[i].toFixed(1); pen = "L";
    }
    return d + (close ? "Z" : "");
  }
  function scenario(p) {
    if (!p.what) return null;
    return p.what.filter(function (w) { return w.d === shift; })[0] || null;
  }

  function draw(p) {
    var box = clear($("picture")), W = Math.max(330, Math.min(680, box.clientWidth || 680)), H = 330, L = 56, R = 52, T = 14, B = 44;
    var root = svg("svg", { viewBox: "0 0 " + W + " " + H, role: "img", "class": "wide", id: "fan",
      "aria-label": "Sessions so far and forecast of " + p.name });
    var what = scenario(p), s = p.s.slice(), ahead = p.fan ? p.fan.s : [];
    var last = ahead.length ? ahead[ahead.length - 1] : (s.length ? s[s.length - 1] : 1);
    var x0 = s.length ? s[0] : (ahead.length ? ahead[0] - 1 : 0), x1 = Math.max(last, x0 + 1);
    var every = p.y.concat(p.fan ? p.fan.lo.concat(p.fan.hi) : []).concat(set.ends);
    (p.what || []).forEach(function (w) { every = every.concat(w.m); });
    every = every.filter(function (v) { return v !== null; });
    var y0 = Math.min.apply(null, every), y1 = Math.max.apply(null, every), pad = (y1 - y0) * 0.04 || 1;
    y0 -= pad; y1 += pad;
    var sx = function (v) { return L + (v - x0) / (x1 - x0) * (W - L - R); };
    var sy = function (v) { return v === null || v === undefined ? null : H - B - (Math.max(y0, Math.min(y1, v)) - y0) / (y1 - y0) * (H - B - T); };
    ticks(y0, y1, 6).forEach(function (v) {
      root.appendChild(svg("line", { "class": "grid", x1: L, x2: W - R, y1: sy(v), y2: sy(v) }));
      root.appendChild(svg("text", { "class": "tick end", x: L - 7, y: sy(v) + 4 }, num(v)));
    });
    ticks(x0, x1, W < 500 ? 6 : 10).forEach(function (v) {
      if (v !== Math.round(v)) return;
      root.appendChild(svg("line", { "class": "axis", x1: sx(v), x2: sx(v), y1: H - B, y2: H - B + 5 }));
      root.appendChild(svg("text", { "class": "tick mid", x: sx(v), y: H - B + 18 }, num(v)));
    });
    root.appendChild(svg("line", { "class": "axis", x1: L, x2: W - R, y1: H - B, y2: H - B }));
    root.appendChild(svg("text", { "class": "name mid", x: (L + W - R) / 2, y: H - 6 }, "session"));
    root.appendChild(svg("text", { "class": "name mid", transform: "translate(13 " + (T + H - B) / 2 + ") rotate(-90)" }, set.outcome));
    if (set.cutoff !== null && set.cutoff !== undefined) {
      root.appendChild(svg("line", { "class": "cut", x1: L, x2: W - R, y1: sy(set.cutoff), y2: sy(set.cutoff) }));
      root.appendChild(svg("text", { "class": "tick", x: L + 4, y: sy(set.cutoff) - 4 }, "clinical cut-off"));
    }
    if (set.alliance_ends && p.a.some(function (v) { return v !== null; })) {
      var a0 = set.alliance_ends[0], a1 = set.alliance_ends[1], span = (a1 - a0) || 1;
      var sa = function (v) { return v === null ? null : H - B - (v - a0) / span * (H - B - T); };
      root.appendChild(svg("path", { "class": "alli", d: path(s.map(sx), p.a.map(sa)) }));
      s.forEach(function (k, i) {
        if (p.a[i] === null) return;
        var c = svg("circle", { "class": "allidot", cx: sx(k), cy: sa(p.a[i]), r: 2.6 });
        c.appendChild(svg("title", {}, "session " + k + ", " + set.alliance + " " + num(p.a[i])));
        root.appendChild(c);
      });
      ticks(a0, a1, 5).forEach(function (v) {
        root.appendChild(svg("text", { "class": "tick", x: W - R + 7, y: sa(v) + 4 }, num(v)));
      });
      root.appendChild(svg("text", { "class": "name mid", transform: "translate(" + (W - 8) + " " + (T + H - B) / 2 + ") rotate(90)" }, set.alliance));
    }
    if (ahead.length) {
      var lo = what ? what.lo : p.fan.lo, hi = what ? what.hi : p.fan.hi, m = what ? what.m : p.fan.m;
      var xs = ahead.map(sx), start = [], back = [];
      if (s.length) root.appendChild(svg("line", { "class": "now", x1: sx(s[s.length - 1]), x2: sx(s[s.length - 1]), y1: T, y2: H - B }));
      var seen = s.filter(function (k, i) { return p.y[i] !== null; }), known = p.y.filter(function (v) { return v !== null; });
      if (seen.length) root.appendChild(svg("path", { "class": "base", d: path([sx(seen[seen.length - 1]), xs[0]], [sy(known[known.length - 1]), sy(m[0])]) }));
      start = xs.concat(xs.slice().reverse());
      back = lo.map(sy).concat(hi.map(sy).reverse());
      root.appendChild(svg("path", { "class": "band2", id: "fan-band", d: path(start, back, true) }));
      if (shift === 0 && p.fan.q1) {
        back = p.fan.q1.map(sy).concat(p.fan.q3.map(sy).reverse());
        root.appendChild(svg("path", { "class": "band2", d: path(start, back, true) }));
      }
      if (shift !== 0) root.appendChild(svg("path", { "class": "base", d: path(xs, p.fan.m.map(sy)) }));
      root.appendChild(svg("path", { "class": "fan", id: "fan-mean", "data-mean": JSON.stringify(m), d: path(xs, m.map(sy)) }));
      xs.forEach(function (x, i) {
        var c = svg("circle", { "class": "dot", cx: x, cy: sy(m[i]), r: 2.8 });
        c.appendChild(svg("title", {}, "session " + ahead[i] + ": " + num(m[i]) + " [" + num(lo[i]) + ", " + num(hi[i]) + "]"));
        root.appendChild(c);
      });
    }
    root.appendChild(svg("path", { "class": "seen", d: path(s.map(sx), p.y.map(sy)) }));
    var off = {};
    (p.track || []).forEach(function (t) { if (t[4]) off[t[0]] = true; });
    s.forEach(function (k, i) {
      if (p.y[i] === null) return;
      var c = svg("circle", { "class": off[i + 1] ? "flag" : "seendot", cx: sx(k), cy: sy(p.y[i]), r: off[i + 1] ? 6 : 3.2 });
      c.appendChild(svg("title", {}, "session " + k + ", " + set.outcome + " " + num(p.y[i]) + (off[i + 1] ? ", not on track" : "")));
      root.appendChild(c);
    });
    box.appendChild(root);
  }

  function defined(node, text) { // the first word of the glossary that the text begins with shows its meaning
    var word = Object.keys(set.terms).filter(function (k) { return text.indexOf(k) === 0; })[0];
    if (word) node.appendChild(el("dfn", { tabindex: "0", "aria-description": set.terms[word] }, word));
    node.appendChild(document.createTextNode(text.slice(word ? word.length : 0)));
  }
  function fact(list, term, value, small) {
    var div = el("div"), dd = el("dd", {}, value), dt = el("dt");
    defined(dt, term);
    div.appendChild(dt);
    if (small) dd.appendChild(el("small", {}, small));
    div.appendChild(dd);
    list.appendChild(div);
  }

  function bars(node, rows) {
    var H = 26 * rows.length + 8, top = Math.max.apply(null, rows.map(function (r) { return Math.abs(r[1] || 0); })) || 1;
    var places = Math.min(Math.max(1 - Math.floor(Math.log10(top)), 1), 6); // as fine as the largest bar needs
    var root = svg("svg", { viewBox: "0 0 420 " + H, style: "max-width:520px", role: "img", "aria-label": "what moved the forecast" });
    rows.forEach(function (r, i) {
      var w = Math.abs(r[1] || 0) / top * 75, y = 5 + 26 * i, left = r[1] < 0;
      root.appendChild(svg("text", { "class": "tick end", x: 142, y: y + 14 }, r[0]));
      root.appendChild(svg("rect", { "class": left ? "bar" : "share patient", x: left ? 290 - w : 290, y: y, width: Math.max(w, 0.5), height: 18 }));
      root.appendChild(svg("text", { "class": left ? "tick end" : "tick", x: left ? 286 - w : 294 + w, y: y + 14 }, around(r[1] || 0, places)));
    });
    root.appendChild(svg("line", { "class": "axis", x1: 290, x2: 290, y1: 0, y2: H }));
    clear(node).appendChild(root);
  }

  function rowsTable(node, head, rows) {
    var table = el("table"), tr = el("tr");
    head.forEach(function (h, i) { tr.appendChild(el("th", i ? { scope: "col" } : { scope: "col", "class": "l" }, h)); });
    table.appendChild(el("thead")).appendChild(tr);
    var body = table.appendChild(el("tbody"));
    rows.forEach(function (r) {
      var line = el("tr");
      r.forEach(function (c, i) { line.appendChild(el("td", i ? {} : { "class": "l" }, typeof c === "number" ? num(c) : c === null || c === undefined ? "–" : c)); });
      body.appendChild(line);
    });
    clear(node).appendChild(table);
  }

  function moved(p) {
    var what = scenario(p), text = "", note = "";
    $("shift-out").textContent = signed(shift) + " SD" + (p.sd ? " (" + signed(shift * p.sd) + " points)" : "");
    $("shift").setAttribute("aria-valuetext", $("shift-out").textContent);
    if (what && p.fan) {
      var k = Math.min(set.sessions, p.fan.s.length) - 1;
      if (shift === 0) {
        text = "Expected course: " + num(p.fan.m[k]) + " at session " + p.fan.s[k] + " (" + Math.round(100 * set.level) + " % interval " + num(p.fan.lo[k]) + " to " + num(p.fan.hi[k]) + ").";
      } else {
        text = "If " + set.alliance + " were held " + num(Math.abs(shift)) + " SD " + (shift > 0 ? "above" : "below") + " its expected course: " + num(what.m[k]) + " at session " + p.fan.s[k] + " instead of " + num(p.fan.m[k]) + " (" + Math.round(100 * set.level) + " % interval " + num(what.lo[k]) + " to " + num(what.hi[k]) + ").";
      }
      note = what.out ? what.note + "; the line is drawn beyond what the data show." : "";
    }
    $("moved").textContent = text;
    $("outside").textContent = note;
  }

  function words(p) {
    var facts = clear($("facts")), h = p.hinge;
    if (h) {
      fact(facts, "verdict", h.verdict || "–", h.ranking_reason || h.reason || set.verdicts[h.verdict] || "");
      fact(facts, "signed benefit of +1 SD, " + set.sessions + " sessions on", num(h.benefit), h.benefit_lower === null ? "" : "between " + num(h.benefit_lower) + " and " + num(h.benefit_upper));
      fact(facts, "P(benefit > 0)", chance(h.p_benefit), "");
      if (h.p_reliable !== null) fact(facts, "P(> reliable change)", chance(h.p_reliable), "");
      if (h.p_top !== null) fact(facts, "P(top)", chance(h.p_top), h.rank === null ? "" : "rank " + h.rank);
      fact(facts, "effect of one " + set.alliance + " point", num(h.effect), h.effect_lower === null ? "" : "between " + num(h.effect_lower) + " and " + num(h.effect_upper));
      fact(facts, "own-data reliability", h.own_reliability === null ? "–" : h.own_reliability.toFixed(2), num(h.n_transitions) + " usable steps");
    }
    var now = (p.track || []).filter(function (t) { return t[4]; });
    fact(facts, "on track?", !p.track ? "not judged" : now.length ? "no" : "yes", !p.track ? (set.judged ? "too few sessions so far" : "only patients of the run itself are judged") :
      now.length ? "at session " + now.map(function (t) { return t[0]; }).join(", ") : "at session " + p.track.map(function (t) { return t[0]; }).join(", "));
    $("why").textContent = h ? h.why || "" : "";
    $("because").hidden = !$("why").textContent;
    var groups = p.moved ? p.moved.groups.filter(function (g) { return g[1] !== 0; }).map(function (g) { return [set.alliance ? g[0].replace("alliance", set.alliance) : g[0], g[1]]; }) : [];
    $("reasons").hidden = !p.moved;
    if (p.moved) {
      bars($("groups"), groups);
      $("background").textContent = "From the background of " + num(p.moved.background) + " to the forecast of " + num(p.moved.forecast) + (p.moved.session ? " for session " + p.moved.session : "") + ".";
    }
    var trees = p.moved ? p.moved.trees : [];
    $("trees-box").hidden = !trees.length;
    rowsTable($("trees"), ["input", "value", "moves the forecast by"], trees.map(function (t) { return [t[0], t[1], signed(t[2])]; }));
    rowsTable($("intake"), ["intake", "value"], p.intake);
    $("intake-box").hidden = !p.intake.length;
    var rows = p.s.map(function (k, i) { return [String(k), p.y[i]].concat(set.alliance_ends ? [p.a[i]] : []); });
    rowsTable($("sessions"), ["session", set.outcome].concat(set.alliance_ends ? [set.alliance] : []), rows);
    var what = scenario(p), ahead = (p.fan ? p.fan.s : []).map(function (k, i) {
      return [String(k), p.fan.m[i], p.fan.lo[i], p.fan.hi[i]].concat(what ? [what.m[i], what.lo[i], what.hi[i]] : []);
    });
    rowsTable($("ahead"), ["session", "forecast", "lower", "upper"].concat(what ? ["shifted", "lower", "upper"] : []), ahead);
  }

  var waiting = null;
  window.addEventListener("resize", function () {
    clearTimeout(waiting);
    waiting = setTimeout(function () { if (all[at]) draw(all[at]); }, 120);
  });
  function show() {
    var p = all[at];
    if (!p) return;
    $("who").textContent = p.name + (p.therapist ? " (therapist " + p.therapist + ")" : "");
    $("slider").hidden = !p.what;
    draw(p); moved(p); words(p);
    document.body.setAttribute("data-patient", p.name);
  }
  function go(i) {
    at = (i + all.length) % all.length;
    if ($("find")) $("find").value = all[at].name;
    show();
    try { history.replaceState(null, "", "#patient=" + encodeURIComponent(all[at].name)); } catch (e) { /* a page from a stick may not */ }
  }
  function find(text) {
    var exact = -1, part = -1, wanted = text.trim().toLowerCase();
    all.forEach(function (p, i) {
      var name = p.name.toLowerCase();
      if (name === wanted && exact < 0) exact = i;
      if (wanted && name.indexOf(wanted) >= 0 && part < 0) part = i;
    });
    return exact >= 0 ? exact : part;
  }

  if (all.length) {
    if ($("find")) {
      var list = $("names");
      all.forEach(function (p) { list.appendChild(el("option", { value: p.name })); });
      $("find").addEventListener("change", function () {
        var i = find(this.value);
        $("nobody").textContent = i < 0 ? "No patient of that name." : "";
        if (i >= 0) go(i);
      });
      $("before").addEventListener("click", function () { go(at - 1); });
      $("after").addEventListener("click", function () { go(at + 1); });
    }
    var range = $("shift");
    range.max = set.shifts.length - 1; range.min = 0; range.step = 1;
    range.value = Math.max(set.shifts.indexOf(0), 0);
    shift = set.shifts.length ? set.shifts[range.value] : 0;
    range.addEventListener("input", function () { shift = set.shifts[this.value]; show(); });
    $("reset").addEventListener("click", function () { range.value = set.shifts.indexOf(0); shift = 0; show(); });
    $("print").addEventListener("click", function () { document.body.classList.add("one"); window.print(); });
    window.addEventListener("afterprint", function () { document.body.classList.remove("one"); });
    var asked = /^#patient=(.*)$/.exec(location.hash), wanted = asked ? find(decodeURIComponent(asked[1])) : -1;
    if (wanted >= 0) { go(wanted); } else { at = 0; if ($("find")) $("find").value = all[0].name; show(); }
    document.addEventListener("click", function (event) {
      var link = event.target.closest ? event.target.closest("a[data-patient-link]") : null;
      if (!link) return;
      var i = Number(link.getAttribute("data-patient-link"));
      event.preventDefault(); go(i);
      $("patient").scrollIntoView(); $("patient").focus();
    });
  }
  if ($("goto")) {
    var links = [].slice.call(document.querySelectorAll("#all-pages a"));
    var visit = function () {
      var wanted = $("goto").value.trim().toLowerCase();
      var named = links.map(function (a) { return a.textContent.toLowerCase(); });
      var i = named.indexOf(wanted);
      if (i < 0 && wanted) i = named.findIndex(function (name) { return name.indexOf(wanted) >= 0; });
      $("nobody").textContent = i < 0 ? "No patient of that name." : "";
      if (i >= 0) location.href = links[i].getAttribute("href");
    };
    $("open").addEventListener("click", visit);
    $("goto").addEventListener("keydown", function (event) { if (event.key === "Enter") visit(); });
  }
  var theme = $("theme");
  if (theme) theme.addEventListener("click", function () {
    var root = document.documentElement, dark = root.getAttribute("data-theme") === "dark" ||
      (!root.getAttribute("data-theme") && window.matchMedia("(prefers-color-scheme: dark)").matches);
    root.setAttribute("data-theme", dark ? "light" : "dark");
  });
  document.body.setAttribute("data-ready", "yes");
})();
