"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  let token = "";
  let me = null;

  const ask = async (path, options = {}) => {
    const headers = { Accept: "application/json", ...options.headers };
    if (token) headers.Authorization = "Bearer " + token;
    const answer = await fetch(path, { ...options, headers, credentials: "same-origin" });
    if (answer.ok) return answer;
    let problem = {};
    try { problem = await answer.json(); } catch { /* not a document */ }
    const fault = new Error([problem.code, problem.title, problem.detail].filter(Boolean).join(" · ") || "HTTP " + answer.status);
    fault.status = answer.status;
    throw fault;
  };
  const get = async (path) => (await ask(path)).json();

  const el = (tag, text, cls) => {
    const e = document.createElement(tag);
    if (text !== undefined) e.textContent = text;
    if (cls) e.className = cls;
    return e;
  };
  const row = (...cells) => { const tr = el("tr"); tr.append(...cells); return tr; };

  // Amounts are decimal strings and stay so; a ratio for drawing is all that is
  // ever computed from them here.
  const ratio = (part, whole) => { const w = Number(whole); return w > 0 ? Math.max(0, Math.min(1, Number(part) / w)) : 0; };

  const bar = (p) => {
    const td = el("td");
    if (!p.cap) return td;
    const limit = Number(p.cap) + Number(p.prefunded || 0);
    const used = ratio(p.memo_position || p.position, limit), held = ratio(p.memo_reserved || p.reserved, limit), sum = Math.min(1, used + held);
    const track = el("div", undefined, "track" + (sum >= 0.9 ? " full" : sum >= 0.75 ? " hot" : ""));
    const a = el("i"), b = el("i", undefined, "held");
    a.style.width = 100 * used + "%";
    b.style.width = 100 * sum + "%";
    track.append(b, a, el("b", undefined, "m75"), el("b", undefined, "m90"));
    track.setAttribute("role", "img");
    track.setAttribute("aria-label", (100 * sum).toFixed(1) + " % of the cap, " + p.available + " available");
    track.title = p.available + " available";
    td.append(track);
    return td;
  };

  const showPositions = (list) => {
    const busy = list.filter((p) => [p.position, p.reserved, p.memo_position || 0, p.memo_reserved || 0].some((n) => Number(n) !== 0));
    const rows = (busy.length ? busy : list.slice(0, 12)).map((p) => row(
      el("td", p.participant + (p.sponsor ? " through " + p.sponsor : "") + (p.suspended ? " (suspended)" : "")), el("td", p.currency), el("td", p.memo_position || p.position, "num"),
      el("td", p.memo_reserved || p.reserved, "num"), el("td", p.cap || "", "num"), el("td", p.prefunded || "", "num"), bar(p)));
    $("positions").replaceChildren(...rows);
  };

  const byCurrency = (sums) => Object.keys(sums).sort().map((c) => sums[c] + " " + c).join("\n");

  const button = (text, path) => {
    const b = el("button", text);
    b.type = "button";
    b.addEventListener("click", async () => {
      b.disabled = true;
      try { tell(await (await ask(path, { method: "POST" })).json()); say(""); } catch (fault) { say(fault.message); }
      slow = 0;
      refresh();
    });
    return b;
  };

  // What a settlement waits for, and what the rules would do next.
  const tell = (done) => {
    const parts = [];
    if (done.money) parts.push(done.money);
    if (done.waits && done.waits.length) parts.push(done.window + " waits for: " + done.waits.map((e) => e.says).join("; "));
    if (done.plan && done.plan.length) parts.push("next: " + done.plan.map((s) => s.step + " " + (s.payer || "") + " " + s.amount + " " + s.currency).join("; "));
    $("told").textContent = parts.join(" — ");
  };

  // The figures of a window are many: folded until somebody asks, and kept open while
  // the tables are drawn anew.
  const unfolded = new Set();
  const folded = (id, title, lines) => {
    const td = el("td");
    if (!lines.length) return td;
    const fold = el("details");
    fold.open = unfolded.has(id);
    fold.addEventListener("toggle", () => { if (fold.open) unfolded.add(id); else unfolded.delete(id); });
    fold.append(el("summary", title), el("div", lines.join("\n"), "nets"));
    td.append(fold);
    return td;
  };
  const nets = (w) => folded(w.window + " nets", w.nets.length + " figures", w.nets.map((n) => n.participant + "  " + n.net + " " + n.currency));
  const legs = (w) => {
    const due = w.legs.filter((l) => Number(l.due) !== 0);
    const title = w.state === "open" || w.state === "closed" ? w.legs.length + " legs" : due.length ? due.length + " of " + w.legs.length + " due" : "all " + w.legs.length + " settled";
    return folded(w.window + " legs", title, w.legs.map((l) => (l.debtor || "settlement account") + " → " + (l.creditor || "settlement account") + "  " + l.amount + " " + l.currency +
      (Number(l.due) !== 0 ? ", due " + l.due : ", settled") + (l.tries ? ", refused " + l.tries + "×" : "") + (l.short ? ", short" : "")));
  };

  const showWindows = (list) => {
    $("windows").replaceChildren(...list.map((w) => {
      const lines = (text, cls) => { const td = el("td", text, cls); td.style.whiteSpace = "pre"; return td; };
      const act = el("td");
      if (me.operator && w.state === "open") act.append(button("Close", "/v1/windows/" + w.window + "/close"));
      if (me.operator && ["closed", "collecting", "paying", "short"].includes(w.state)) act.append(button("Settle", "/v1/windows/" + w.window + "/settle"));
      if (me.operator && w.state === "short") act.append(button("Next step", "/v1/windows/" + w.window + "/waterfall"), button("Ask again", "/v1/windows/" + w.window + "/settle?steps=none&retry=true"));
      return row(el("td", w.window, "id"), el("td", w.model || "–"), el("td", w.state + (w.recasting ? ", recast" : ""), w.state), el("td", String(w.payments), "num"), lines(byCurrency(w.gross), "num"),
        lines(byCurrency(w.to_move), "num"), lines(Object.keys(w.compression).sort().map((c) => w.compression[c] + " %").join("\n"), "num"), el("td", w.value_date || ""), act, legs(w), nets(w));
    }));
  };

  const showModels = (list) => {
    $("models").replaceChildren(...list.map((m) => row(el("td", m.model || "–"), el("td", m.method), el("td", m.open || "", "id"),
      el("td", m.next ? m.next.local : m.fault || (m.schedule ? "" : "by hand"), m.fault ? "short" : undefined), el("td", m.next ? m.next.value_date : ""))));
  };

  const showProjection = (p) => {
    $("projected").replaceChildren(...p.positions.map((r) => row(el("td", r.participant), el("td", r.currency), el("td", r.position, "num"), el("td", r.settled, "num"),
      el("td", r.after, "num"), el("td", r.reserved, "num"), el("td", r.cap || "", "num"), el("td", r.beyond || "", r.beyond ? "num short" : "num"))));
  };

  // Money as the office sends it: whole minor units. Only here are they made decimal,
  // with the digits of the currency, as text.
  const digits = {};
  const money = (m) => {
    if (!(m.currency in digits)) {
      try { digits[m.currency] = new Intl.NumberFormat("en", { style: "currency", currency: m.currency }).resolvedOptions().maximumFractionDigits; } catch { digits[m.currency] = 2; }
    }
    const n = digits[m.currency], negative = m.minor < 0, text = String(Math.abs(m.minor)).padStart(n + 1, "0");
    return (negative ? "-" : "") + text.slice(0, text.length - n) + (n ? "." + text.slice(text.length - n) : "") + " " + m.currency;
  };

  const showBreaks = (list) => list.map((b) => row(el("td", b.kind), el("td", b.owner), el("td", b.participant || ""), el("td", b.window ? String(b.window) : "", "id"),
    el("td", (b.payment || b.ref || "").slice(0, 14), "id"), el("td", money(b.at_risk), "num"), el("td", b.first_seen.slice(0, 16).replace("T", " "))));

  const showCaps = (list) => list.map((c) => {
    const act = el("td"), path = "/v1/caps/proposals/" + encodeURIComponent(c.key);
    if (c.state === "waiting") act.append(button("Approve", path + "/approve"));
    act.append(button("Reject", path + "/reject"));
    return row(el("td", c.participant), el("td", money(c.standing), "num"), el("td", money(c.cap), "num"), el("td", c.maker), el("td", c.state), act);
  });

  const showDisputes = (list) => list.map((d) => row(el("td", d.dispute.slice(0, 14), "id"), el("td", d.payment.slice(0, 14), "id"), el("td", d.raiser + " → " + d.respondent),
    el("td", d.stage), el("td", d.turn || "–"), el("td", (d.deadline || "").slice(0, 16).replace("T", " "), d.passed ? "short" : undefined), el("td", money(d.amount), "num"), el("td", d.title || d.reason)));

  // A list that this switch does not offer, or not to this caller, is not shown.
  const optional = async (name, path, member, show) => {
    const place = document.querySelector('[data-list="' + name + '"]');
    try {
      const list = (await get(path))[member];
      const rows = show(list);
      if (!rows.length) { const tr = row(el("td", "none")); tr.className = "none"; rows.push(tr); }
      $(name).replaceChildren(...rows);
      place.hidden = false;
    } catch (fault) {
      if (fault.status === undefined) throw fault;
      place.hidden = true;
    }
  };

  // What changes seldom, or costs more, is asked for seldom.
  let slow = 0;
  const seldom = async () => {
    if (Date.now() - slow < 5000) return;
    slow = Date.now();
    showModels((await get("/v1/models")).models);
    await optional("disputes", "/v1/disputes?open=true&limit=20", "disputes", showDisputes);
    if (!me.operator) return;
    await optional("breaks", "/v1/recon/breaks?state=open&limit=20", "breaks", showBreaks);
    await optional("caps", "/v1/caps/proposals?waiting=true", "proposals", showCaps);
    if ($("projection").open) showProjection(await get("/v1/windows/projection"));
  };

  const showPayments = (list) => {
    $("payments").replaceChildren(...list.map((p) => {
      const id = el("td", p.payment.slice(0, 8) + "…" + p.payment.slice(-6), "id");
      id.title = p.payment;
      return row(el("td", p.changed_at.slice(11, 23)), id, el("td", p.operation || ""), el("td", p.debtor || ""), el("td", p.creditor || ""), el("td", p.scheme || ""),
        el("td", p.amount ? p.amount + " " + p.currency : "", "num"), el("td", p.state, p.status), el("td", [p.reason, p.reason_name].filter(Boolean).join(" ")), el("td", p.window || "", "id"));
    }));
  };

  const say = (text) => { $("word").textContent = text; };

  let due = 0, running = false;
  const refresh = async () => {
    if (running) { due = 1; return; }
    running = true;
    try {
      const [positions, windows, payments] = await Promise.all([get("/v1/positions"), get("/v1/windows?limit=8"), get("/v1/payments?limit=15")]);
      showPositions(positions.positions);
      showWindows(windows.windows);
      showPayments(payments.payments);
      await seldom();
      $("clock").textContent = new Date().toISOString().slice(0, 19).replace("T", " ") + " UTC";
    } catch (fault) { say(fault.message); }
    running = false;
  };
  // However many events come, the tables are drawn twice a second at most.
  setInterval(() => { if (due) { due = 0; refresh(); } }, 500);

  const live = (on) => {
    $("live").textContent = on ? "live" : "stale";
    $("live").className = "pill " + (on ? "on" : "off");
  };

  const listen = async () => {
    for (;;) {
      try {
        const answer = await ask("/v1/events", { headers: { Accept: "text/event-stream" } });
        const reader = answer.body.getReader();
        live(true);
        due = 1;
        for (;;) {
          const { done, value } = await reader.read();
          if (done) break;
          if (value.length > 12) due = 1;
        }
      } catch (fault) { if (fault.status === 401) return enter(""); }
      live(false);
      await new Promise((go) => setTimeout(go, 1000));
    }
  };

  const enter = async (word) => {
    try {
      me = await get("/v1/whoami");
    } catch (fault) {
      $("main").hidden = true;
      $("door").hidden = false;
      $("live").textContent = "";
      $("doorword").textContent = word || (token ? fault.message : "");
      $("token").focus();
      return;
    }
    $("door").hidden = true;
    $("main").hidden = false;
    $("who").textContent = me.operator ? me.person || "operator" : me.participant;
    $("place").textContent = me.sandbox ? "sandbox" : "";
    for (const part of document.querySelectorAll("[data-operator]")) part.hidden = !me.operator;
    slow = 0;
    await refresh();
    listen();
  };
  $("projection").addEventListener("toggle", () => { if ($("projection").open) { slow = 0; due = 1; } });
  $("door").addEventListener("submit", (e) => { e.preventDefault(); token = $("token").value.trim(); enter(""); });
  enter("");
})();
