"use strict";
// What people would rather look at than read. Pictures are drawn from decimal texts,
// which stay texts: only lengths and tints are numbers of the browser's own.
const digits = /*digits*/{};

const text = {
  // grouped puts commas between thousands.
  grouped: (t) => String(t).replace(/^-?\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ",")),
  // decimal makes minor units, as the office and the journal send them, a decimal of their currency.
  decimal: (minor, currency) => {
    const n = digits[currency] ?? 2, t = String(Math.abs(minor)).padStart(n + 1, "0");
    return (minor < 0 ? "-" : "") + t.slice(0, t.length - n) + (n ? "." + t.slice(t.length - n) : "");
  },
  money: (m) => text.grouped(text.decimal(m.minor, m.currency)) + " " + m.currency,
  // adds tells whether decimals of one currency add up to zero, exactly.
  zero: (list) => list.reduce((sum, t) => sum + BigInt(t.replace(".", "")), 0n) === 0n,
  lasted: (ms) => ms < 1 ? "at once" : ms < 1000 ? Math.round(ms) + " ms" : ms < 60000 ? (ms / 1000).toFixed(1) + " s" : Math.round(ms / 60000) + " min",
};

const el = (tag, content, cls) => {
  const e = document.createElement(tag);
  if (content !== undefined) e.textContent = content;
  if (cls) e.className = cls;
  return e;
};
const row = (...cells) => { const tr = el("tr"); tr.append(...cells); return tr; };
const th = (content, cls) => { const e = el("th", content, cls); e.scope = "row"; return e; };

const draw = (() => {
  const svg = (tag, attributes, ...children) => {
    const e = document.createElementNS("http:" + "//www.w3.org/2000/svg", tag);
    for (const name in attributes) e.setAttribute(name, attributes[name]);
    e.append(...children);
    return e;
  };
  const picture = (width, height, label, ...children) => {
    const s = svg("svg", { viewBox: "0 0 " + width + " " + height, role: "img", "aria-label": label }, ...children);
    if (width > 100) s.style.maxWidth = 1.1 * width + "px";
    return s;
  };
  const rect = (x, y, width, height, cls) => svg("rect", { x, y, width: Math.max(0, width), height, class: cls });
  const words = (x, y, content, cls, anchor) => { const t = svg("text", { x, y, class: cls || "", "text-anchor": anchor || "start" }); t.textContent = content; return t; };

  const spark = (values) => {
    const most = Math.max(1, ...values), step = 100 / Math.max(1, values.length - 1);
    const line = svg("polyline", { class: "spark", points: values.map((v, i) => (i * step).toFixed(1) + "," + (19 - 18 * v / most).toFixed(1)).join(" ") });
    const s = picture(100, 20, "the last " + values.length + " seconds, at most " + most, line);
    s.setAttribute("preserveAspectRatio", "none");
    return s;
  };

  // use is how much of a limit is used by a position and by holds on top of it.
  const use = (used, held, label) => {
    const sum = Math.min(1, used + held), colour = used + held >= 0.9 ? "bad" : used + held >= 0.75 ? "wait" : "bar";
    const s = picture(100, 10, label, rect(0, 0, 100, 10, "base"), rect(0, 0, 100 * sum, 10, "pale"), rect(0, 0, 100 * Math.min(1, used), 10, colour),
      rect(74.8, 0, 0.5, 10, "mark"), rect(89.8, 0, 0.5, 10, "mark"));
    s.setAttribute("preserveAspectRatio", "none");
    return s;
  };

  // heat is the bilateral matrix: who owes whom, the more the darker.
  const heat = (cells, currency) => {
    const mine = cells.filter((c) => c.currency === currency), names = [...new Set(mine.flatMap((c) => [c.debtor, c.creditor]))].sort();
    const most = Math.max(0, ...mine.map((c) => Number(c.gross))), at = new Map(mine.map((c) => [c.debtor + " " + c.creditor, c]));
    const table = el("table", undefined, "heat"), head = row(th("owes ↓  to →"), ...names.map((n) => { const e = el("th", n); e.scope = "col"; return e; }));
    const body = el("tbody"), thead = el("thead");
    thead.append(head);
    for (const debtor of names) {
      if (!mine.some((c) => c.debtor === debtor)) continue;
      body.append(row(th(debtor), ...names.map((creditor) => {
        const c = at.get(debtor + " " + creditor), td = el("td", c ? text.grouped(c.gross) : "", debtor === creditor ? "self" : undefined);
        if (c) {
          td.style.backgroundColor = "hsl(var(--heat) / " + (0.07 + 0.5 * Number(c.gross) / most).toFixed(2) + ")";
          td.title = debtor + " owes " + creditor + " " + c.gross + " " + currency + " of " + c.payments + " payments";
        }
        return td;
      })));
    }
    table.append(thead, body);
    return table;
  };

  // nets are what is left for each: to the right who pays, to the left who is paid.
  const nets = (figures) => {
    const list = [...figures].sort((x, y) => Number(y.net) - Number(x.net)), most = Math.max(1e-9, ...list.map((n) => Math.abs(Number(n.net))));
    const s = picture(480, 22 * list.length + 4, "net figures: " + list.map((n) => n.participant + " " + n.net).join(", "));
    list.forEach((n, i) => {
      const y = 22 * i + 4, size = 150 * Math.abs(Number(n.net)) / most, pays = Number(n.net) > 0;
      s.append(words(0, y + 12, n.participant), rect(pays ? 270 : 270 - size, y, size, 15, pays ? "wait" : "good"), words(pays ? 266 : 274, y + 12, text.grouped(n.net.replace("-", "")), "dim", pays ? "end" : "start"));
    });
    s.append(rect(269.5, 0, 1, 22 * list.length + 4, "base"));
    return s;
  };

  // settlement is the way from all payments down to what has reached those who are owed.
  const settlement = (w, currency) => {
    const legs = w.legs.filter((l) => l.currency === currency), sum = (list, member) => list.reduce((n, l) => n + Number(l[member]), 0);
    const into = legs.filter((l) => l.debtor), out = legs.filter((l) => l.creditor);
    const gross = Number(w.gross[currency] || 0), move = Number(w.to_move[currency] || 0), n = digits[currency] ?? 2;
    const rows = [["all payments", 0, gross, "bar"], ["nets out", move, gross - move, "pale"], ["to move", 0, move, "bar"], ["collected", 0, sum(into, "settled"), "good"], ["paid out", 0, sum(out, "settled"), "good"]];
    const due = sum(into.filter((l) => l.short), "due");
    if (due > 0) rows.push(["refused", 0, due, "bad"]);
    const s = picture(480, 22 * rows.length + 4, rows.map((r) => r[0] + " " + r[2].toFixed(n)).join(", ") + " " + currency), scale = 250 / Math.max(1e-9, gross, move);
    rows.forEach(([name, from, size, cls], i) => {
      const y = 22 * i + 4;
      s.append(words(0, y + 12, name), rect(88 + from * scale, y, size * scale, 15, cls), words(480, y + 12, text.grouped(size.toFixed(n)), "dim", "end"));
    });
    return s;
  };

  // layers is where the money would come from that failing debtors owe.
  const colours = { prefunding: "good", guarantee: "bar", share: "pale", recast: "wait", wait: "bad" };
  const layerNames = { prefunding: "own prefunding", guarantee: "guarantee fund", share: "the others' shares", recast: "rolls over", wait: "nobody" };
  const layers = (result) => {
    const sums = {};
    for (const s of result.steps) if (s.step in colours) sums[s.step] = (sums[s.step] || 0) + Number(s.amount);
    const parts = Object.keys(colours).filter((k) => sums[k] > 0), whole = Math.max(1e-9, Number(result.missing), parts.reduce((n, k) => n + sums[k], 0));
    const s = picture(480, 44, "found by: " + (parts.map((k) => layerNames[k] + " " + sums[k].toFixed(digits[result.currency] ?? 2)).join(", ") || "nothing needed"));
    let x = 0;
    for (const k of parts) {
      const width = 480 * sums[k] / whole;
      s.append(rect(x, 0, width, 18, colours[k]));
      x += width;
    }
    x = 0;
    for (const k of parts) {
      const label = layerNames[k] + " " + text.grouped(sums[k].toFixed(digits[result.currency] ?? 2));
      s.append(rect(x, 28, 9, 9, colours[k]), words(x + 13, 37, label));
      x += 22 + 6.4 * label.length;
    }
    return s;
  };

  // timeline is the life of a payment: what happened, and how long it took.
  const timeline = (steps) => {
    const width = Math.max(480, 120 * steps.length), gap = (width - 100) / Math.max(1, steps.length - 1);
    const s = picture(width, 62, steps.map((l) => l.kind + " " + text.lasted(l.after)).join(", "), svg("line", { x1: 50, y1: 24, x2: 50 + gap * (steps.length - 1), y2: 24, class: "rule" }));
    steps.forEach((l, i) => {
      const x = 50 + gap * i;
      s.append(svg("circle", { cx: x, cy: 24, r: 7, class: l.colour }), words(x, 50, l.kind, "", "middle"));
      if (i) s.append(words(x - gap / 2, 16, "+" + text.lasted(l.at - steps[i - 1].at), "dim", "middle"));
    });
    return s;
  };

  return { spark, use, heat, nets, settlement, layers, timeline };
})();
