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
    const used = ratio(p.position, p.cap), held = ratio(p.reserved, p.cap), sum = Math.min(1, used + held);
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
    const busy = list.filter((p) => Number(p.position) !== 0 || Number(p.reserved) !== 0);
    const rows = (busy.length ? busy : list.slice(0, 12)).map((p) => row(
      el("td", p.participant + (p.suspended ? " (suspended)" : "")), el("td", p.currency), el("td", p.position, "num"),
      el("td", p.reserved, "num"), el("td", p.cap || "", "num"), bar(p)));
    $("positions").replaceChildren(...rows);
  };

  const byCurrency = (sums) => Object.keys(sums).sort().map((c) => sums[c] + " " + c).join("\n");

  const button = (text, path) => {
    const b = el("button", text);
    b.type = "button";
    b.addEventListener("click", async () => {
      b.disabled = true;
      try { await ask(path, { method: "POST" }); say(""); } catch (fault) { say(fault.message); }
      refresh();
    });
    return b;
  };

  // The net figures of a window are many: folded until somebody asks, and kept
  // open while the tables are drawn anew.
  const unfolded = new Set();
  const nets = (w) => {
    const td = el("td"), fold = el("details"), pre = el("div", w.nets.map((n) => n.participant + "  " + n.net + " " + n.currency).join("\n"), "nets");
    fold.open = unfolded.has(w.window);
    fold.addEventListener("toggle", () => { if (fold.open) unfolded.add(w.window); else unfolded.delete(w.window); });
    fold.append(el("summary", w.nets.length + " figures"), pre);
    td.append(fold);
    return td;
  };

  const showWindows = (list) => {
    $("windows").replaceChildren(...list.map((w) => {
      const lines = (text, cls) => { const td = el("td", text, cls); td.style.whiteSpace = "pre"; return td; };
      const act = el("td");
      if (me.operator && w.state === "open") act.append(button("Close", "/v1/windows/close?window=" + w.window));
      if (me.operator && (w.state === "closed" || w.state === "instructed")) act.append(button("Settle", "/v1/windows/" + w.window + "/settle"));
      return row(el("td", w.window, "id"), el("td", w.state, w.state), el("td", String(w.payments), "num"), lines(byCurrency(w.gross), "num"),
        lines(byCurrency(w.to_move), "num"), act, nets(w));
    }));
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
      const [positions, windows, payments] = await Promise.all([get("/v1/positions"), get("/v1/windows?limit=5"), get("/v1/payments?limit=15")]);
      showPositions(positions.positions);
      showWindows(windows.windows);
      showPayments(payments.payments);
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
    $("who").textContent = me.operator ? "operator" : me.participant;
    $("place").textContent = me.sandbox ? "sandbox" : "";
    await refresh();
    listen();
  };
  $("door").addEventListener("submit", (e) => { e.preventDefault(); token = $("token").value.trim(); enter(""); });
  enter("");
})();
