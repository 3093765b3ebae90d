(() => {
  const $ = (id) => document.getElementById(id);
  let token = "", me = null;

  const ask = async (path, options = {}) => {
    const headers = { Accept: "application/json", ...options.headers };
    if (token) headers.Authorization = "Bearer " + token;
    const answer = await fetch(path, { ...options, headers, credentials: "same-origin" });
    if (answer.ok) return answer;
    let problem = {};
    try { problem = await answer.json(); } catch { /* not a document */ }
    const money = options.method === "POST" && { not_executed: "no money moved", executed: "the money moved", unknown: "whether money moved is not known yet" }[problem.outcome];
    const fault = new Error([problem.code, problem.title, problem.field, problem.detail, money, ...(problem.next || []).slice(0, 1)].filter(Boolean).join(" · ") || "HTTP " + answer.status);
    fault.status = answer.status;
    throw fault;
  };
  const get = async (path) => (await ask(path)).json();
  const post = async (path) => (await ask(path, { method: "POST" })).json();
  const say = (words) => { $("word").textContent = words; };
  const utc = (instant) => String(instant || "").slice(0, 16).replace("T", " ");

  // key names a control, so that the focus finds it again when its part is drawn anew.
  const link = (words, key, act, cls) => {
    const b = el("button", words, cls || "link");
    b.type = "button";
    b.dataset.key = key;
    b.addEventListener("click", act);
    return b;
  };
  // What cannot be taken back is asked for twice, within five seconds.
  let meant = { path: "", until: 0 };
  const button = (words, path) => link(meant.path === path && Date.now() < meant.until ? "Sure? " + words : words, path, async (e) => {
    if (meant.path !== path || Date.now() >= meant.until) {
      meant = { path, until: Date.now() + 5000 };
      setTimeout(() => { due = 1; }, 5100);
      slow = 0;
      return refresh();
    }
    meant = { path: "", until: 0 };
    e.target.disabled = true;
    try { tell(await post(path)); say(""); } catch (fault) { say(fault.message); }
    slow = 0;
    refresh();
  }, "do");

  // tell says what became of what somebody pressed.
  const tell = (done) => {
    const parts = [];
    if (done.money) parts.push(done.money);
    if (done.window && !done.waits) parts.push(done.window + " is " + done.state);
    if (done.waits) parts.push(done.window + (done.done ? " is settled: all was paid" : " is " + done.state));
    if (done.waits && done.waits.length) parts.push("it waits for: " + done.waits.map((e) => e.says).join("; "));
    if (done.plan && done.plan.length) parts.push("next by the rules: " + done.plan.map((s) => s.step + " " + (s.payer || "") + " " + text.grouped(s.amount) + " " + s.currency).join("; "));
    $("told").textContent = parts.join(" — ");
  };

  // At a glance. What was heard of in each of the last sixty seconds is counted here.
  const seconds = Array.from({ length: 60 }, () => ({ ends: 0, paid: 0 }));
  let tick = Math.floor(Date.now() / 1000);
  const now = () => {
    const t = Math.floor(Date.now() / 1000);
    for (; tick < t; tick++) { seconds.shift(); seconds.push({ ends: 0, paid: 0 }); if (t - tick > 60) tick = t - 60; }
    return seconds[59];
  };
  const tile = (name, value, note, cls, extra) => {
    const box = el("div"), dd = el("dd", value, cls);
    if (note) dd.append(" ", el("small", note));
    box.append(el("dt", name), dd);
    if (extra) box.append(extra);
    return box;
  };
  const waited = (list) => [...new Set(list.flatMap((w) => w.shards))].sort((x, y) => x - y).join(", ");
  const showGlance = (windows, models, counts) => {
    now();
    const full = seconds.slice(0, 59), ends = full.reduce((n, s) => n + s.ends, 0), paid = full.reduce((n, s) => n + s.paid, 0), last = full.slice(-10).reduce((n, s) => n + s.ends, 0) / 10;
    const tiles = [tile("payments a second", last.toFixed(last < 10 ? 1 : 0), "now, and for a minute", "", draw.spark(full.map((s) => s.ends))), tile("approved", ends ? (100 * paid / ends).toFixed(1) + " %" : "–", "of " + text.grouped(String(ends)) + " in a minute")];
    const state = (...names) => windows.filter((w) => names.includes(w.state)).length, short = state("short");
    if (counts.status) {
      tiles.push(tile("under way", text.grouped(String(counts.status.unfinished)), "payments whose end is not known"));
      tiles.push(tile("sum of positions", counts.status.unbalanced.length ? counts.status.unbalanced.join(" ") : "0", counts.status.unbalanced.length ? "does not add up: tongma audit" : "in every currency", counts.status.unbalanced.length ? "short" : ""));
    }
    if (counts.status && counts.status.shards) {
      const waits = waited(counts.status.awaiting || []), differs = counts.status.differs || [];
      const says = differs.length ? differs.join("; ") : waits ? "windows wait for shard " + waits : counts.status.shard > 1 ? "shard 1 closes and settles" : "closes and settles for all";
      tiles.push(tile("shard", counts.status.shard + " of " + counts.status.shards, says, waits || differs.length ? "short" : ""));
    }
    tiles.push(tile("windows to settle", String(state("closed", "collecting", "paying", "short")), short ? short + " short of money" : "closed, not paid yet", short ? "short" : ""));
    const next = models.filter((m) => m.next).map((m) => m.next.at).sort()[0];
    if (next) tiles.push(tile("next cut-off", next.slice(11, 16), "UTC, in " + text.lasted(Math.max(60000, Date.parse(next) - Date.now())).replace(/^(\d+) min$/, (whole, n) => n > 120 ? Math.round(n / 60) + " h" : whole)));
    for (const [name, n, note] of counts.open) if (n !== undefined) tiles.push(tile(name, String(n), note));
    if (counts.status) tiles.push(tile("journal", text.grouped(String(counts.status.entry)), "entries, epoch " + counts.status.epoch));
    $("glance").replaceChildren(...tiles);
  };

  // Positions.
  let currency = "";
  const ratio = (part, whole) => Number(whole) > 0 ? Math.max(0, Number(part) / Number(whole)) : 0;
  const showPositions = (list) => {
    const moving = (p) => [p.position, p.reserved, p.memo_position || 0, p.memo_reserved || 0].some((n) => Number(n) !== 0) || p.suspended || p.prefunded;
    const known = [...new Set(list.filter(moving).map((p) => p.currency))].sort(), chosen = known.includes(currency) ? currency : known.includes("CNY") ? "CNY" : known[0] || "";
    $("currencies").replaceChildren(...known.map((c) => { const b = link(c, "currency " + c, () => { currency = c; refresh(); }, "chip"); b.setAttribute("aria-pressed", c === chosen); return b; }));
    const limit = (p) => Number(p.cap) + Number(p.prefunded || 0), uses = (p) => p.cap ? ratio(p.memo_position || p.position, limit(p)) + ratio(p.memo_reserved || p.reserved, limit(p)) : 0;
    const shown = list.filter((p) => p.currency === chosen && moving(p)).sort((x, y) => uses(y) - uses(x) || Number(y.position) - Number(x.position));
    const rows = shown.map((p) => {
      const td = el("td"), track = el("div", undefined, "track");
      if (p.cap) {
        const label = (100 * uses(p)).toFixed(1) + " %";
        track.append(draw.use(ratio(p.memo_position || p.position, limit(p)), ratio(p.memo_reserved || p.reserved, limit(p)), label + " of the cap"), el("span", label));
        td.append(track);
      }
      const other = /^~shard-(\d+)$/.exec(p.participant), name = th(other ? "carried to and from shard " + other[1] : p.participant);
      if (p.suspended) name.append(" ", el("span", "suspended", "short"));
      if (p.sponsor) name.append(" ", el("small", "through " + p.sponsor));
      return row(name, el("td", text.grouped(p.memo_position || p.position), "num"), el("td", text.grouped(p.memo_reserved || p.reserved), "num opt"), el("td", text.grouped(p.cap || "receives only"), "num"),
        el("td", text.grouped(p.prefunded || ""), "num opt"), el("td", p.suspended ? "nothing now" : text.grouped(p.available || ""), "num opt"), td);
    });
    $("positions").replaceChildren(...(rows.length ? rows : [none("nobody owes or is owed anything now", 7)]));
  };
  const none = (words, span) => { const td = el("td", words || "none"), tr = row(td); td.colSpan = span || 9; tr.className = "none"; return tr; };

  // Windows, and the one that is looked into.
  let chosen = "", seen = "", windowCurrency = "", stressed = null;
  const byCurrency = (sums) => Object.keys(sums).sort().map((c) => text.grouped(sums[c]) + " " + c).join("\n");
  const actions = (w) => {
    const act = el("td");
    if (!me.operator || (counts.status && counts.status.shard > 1)) return act; // they follow shard 1
    if (w.state === "open") act.append(button("Close", "/v1/windows/" + w.window + "/close"));
    if (["closed", "collecting", "paying", "short"].includes(w.state) && !w.awaited_shards) act.append(button("Settle", "/v1/windows/" + w.window + "/settle"));
    if (w.state === "short") act.append(button("Next step", "/v1/windows/" + w.window + "/waterfall"), button("Ask again", "/v1/windows/" + w.window + "/settle?steps=none&retry=true"));
    return act;
  };
  const showWindows = (list, models) => {
    const cutoff = new Map(models.map((m) => [m.model, m]));
    const pick = list.find((w) => ["short", "collecting", "paying"].includes(w.state)) || list.find((w) => w.state === "open" && w.payments > 0 && !w.model) || list.find((w) => w.payments > 0) || list[0];
    seen = chosen || (pick ? pick.window : "");
    $("windows").replaceChildren(...(list.length ? list : []).map((w) => {
      const m = cutoff.get(w.model || ""), id = el("td", undefined, "id");
      id.append(link(w.window, "window " + w.window, () => { chosen = w.window; stressed = null; refresh(); }));
      const closes = w.state !== "open" ? utc(w.closed_at).slice(11) && "closed " + utc(w.closed_at).slice(11) : m && m.next ? m.next.local.slice(5, 16) + m.next.local.slice(19) : m && m.fault ? m.fault : "by hand";
      const tr = row(id, el("td", w.model || "default"), el("td", w.state + (w.recasting ? ", recast" : "") + (w.awaited_shards ? ", waits for shard " + w.awaited_shards.join(", ") : ""), w.awaited_shards ? "short" : w.state), actions(w), el("td", text.grouped(String(w.payments)), "num"), el("td", byCurrency(w.gross), "num pre"),
        el("td", byCurrency(w.to_move), "num pre"), el("td", Object.keys(w.compression).sort().map((c) => w.compression[c] + " %").join("\n"), "num pre opt"), el("td", closes, "opt"));
      if (w.window === seen) tr.className = "chosen";
      return tr;
    }));
  };

  const rail = (w) => {
    const names = ["open", "closed", "collecting", "paying", "settled"], at = w.state === "short" ? 2 : names.indexOf(w.state), list = el("ol", undefined, "rail");
    names.forEach((n, i) => {
      const item = el("li", w.state === "short" && i === 2 ? "short of money" : n, i < at || w.state === "settled" ? "done" : i === at ? "now " + w.state : "");
      if (i === at) item.setAttribute("aria-current", "step");
      list.append(item);
    });
    return list;
  };
  const legRows = (legs) => legs.map((l) => row(el("td", l.debtor || "settlement account"), el("td", l.creditor || "settlement account"), el("td", text.grouped(l.amount), "num"), el("td", text.grouped(l.settled), "num"), el("td", text.grouped(l.due), Number(l.due) ? "num closed" : "num settled"),
    el("td", l.short ? "refused " + l.tries + " times" : l.tries ? "refused before" : "", l.short ? "short" : "")));
  const showWindow = (w, lines) => {
    const box = $("window"), list = Object.keys(w.gross).length ? Object.keys(w.gross).sort() : [...new Set(w.nets.map((n) => n.currency))].sort();
    const c = list.includes(windowCurrency) ? windowCurrency : list.includes("CNY") ? "CNY" : list[0];
    box.hidden = false;
    const title = el("h3", w.window + ", " + (w.model || "default") + ", " + w.method + (w.value_date ? ", settles on " + w.value_date : "")), parts = [title, rail(w)];
    if (w.awaited_shards) parts.push(el("p", "Not whole: it waits for what shard " + w.awaited_shards.join(", ") + " has to hand over. Nothing is instructed before; it becomes whole by itself when they are there again.", "short"));
    if (w.head_window) parts.push(el("p", "Settled by " + w.head_window + " of shard 1.", "note"));
    if (!c) return box.replaceChildren(...parts, el("p", "Nothing was paid in it.", "note"));
    const chips = el("p", undefined, "chips");
    chips.append(...list.map((x) => { const b = link(x, "shown " + x, () => { windowCurrency = x; refresh(); }, "chip"); b.setAttribute("aria-pressed", x === c); return b; }));
    if (me.operator) chips.append(link("Files (zip)", "zip", () => save(w.window), "do"));
    if (me.operator && w.state !== "settled") chips.append(link("What if the two largest failed?", "stress", () => stress(w.window), "do"));
    const mine = w.nets.filter((n) => n.currency === c), pictures = el("div", undefined, "pair"), left = el("div", undefined, "picture"), right = el("div", undefined, "picture");
    left.append(el("h3", "From payments to settlement, " + c), me.operator ? draw.settlement(w, c) : el("p", "The sums of all are the operator's.", "note"));
    right.append(el("h3", "After netting: who pays (right), who is paid (left)"), draw.nets(mine), el("p", !me.operator ? "" : text.zero(mine.map((n) => n.net)) ? "The figures add up to zero." : "The figures do not add up to zero: tongma audit", "note"));
    pictures.append(left, right);
    const matrix = el("div", undefined, "scroll");
    matrix.append(draw.heat(w.matrix, c));
    parts.push(chips, pictures);
    if (stressed && stressed.window === w.window) parts.push(...showStress(stressed));
    parts.push(...showHistory(lines), el("h3", "Who owes whom, before netting, " + c), matrix);
    const legs = w.legs.filter((l) => l.currency === c);
    if (w.state !== "open" && legs.length) {
      const table = el("table"), head = el("thead"), body = el("tbody"), scroll = el("div", undefined, "scroll");
      head.append(row(...["from", "to", "amount", "settled", "due", ""].map((n, i) => { const e = el("th", n, i > 1 && i < 5 ? "num" : ""); e.scope = "col"; return e; })));
      body.append(...legRows(legs));
      table.append(head, body);
      scroll.append(table);
      parts.push(el("h3", "What moves, and how far it has"), scroll);
    }
    parts.push(el("p", "Sheet " + w.sheet_hash + (w.state === "open" ? " (changes until it closes)" : ": the same for everybody who took part"), "note id"));
    box.replaceChildren(...parts);
  };
  const showStress = (s) => {
    const out = [el("h3", "If the " + s.failing + " largest debtors failed together")];
    if (!s.results.length) out.push(el("p", "Nobody owes anything in it.", "note"));
    for (const r of s.results) {
      const p = el("div", undefined, "picture");
      p.append(el("p", r.failed.join(" and ") + " would leave " + text.grouped(r.missing) + " " + r.currency + " missing. " + (r.settles ? "The window would settle" + (r.deferred ? "; " + r.deferred + " payments would roll over." : ".") : "It would not settle: the rules end, and people decide."), r.settles ? "note" : "short"), draw.layers(r));
      out.push(p);
    }
    return out;
  };
  // What happened to a window after it closed: as it was heard, or read back once.
  const settling = new Map(), settlingKinds = ["instruct", "short", "cover", "defer", "recast", "settled"];
  const note = (l) => {
    if (!settlingKinds.includes(l.kind) || !l.window) return;
    if (!settling.has(l.window)) { settling.set(l.window, new Map()); if (settling.size > 200) settling.delete(settling.keys().next().value); }
    settling.get(l.window).set(l.entry, l);
  };
  const looked = new Set();
  const history = async (w) => {
    const number = Number(w.window.replace(/\D/g, ""));
    if (me.operator && w.end_entry && !["open", "closed"].includes(w.state) && !looked.has(number + w.state)) {
      looked.add(number + w.state);
      for (const l of (await get("/v1/journal?limit=1000&from=" + w.end_entry)).lines) note(l);
    }
    return [...(settling.get(number) || new Map()).values()].sort((x, y) => x.entry - y.entry);
  };
  const told = {
    instruct: () => "the net sheet went to the settlement agent",
    short: (l) => "the agent refused " + amount(l) + " of " + l.debtor + ", which may make no new debits from here on",
    cover: (l) => !l.creditor || l.creditor === l.debtor ? l.debtor + "'s own prefunding paid " + amount(l) : l.creditor + " paid " + amount(l) + " for " + l.debtor + ", and is owed it in the open window",
    recast: () => "the sheet was drawn up anew, without what rolled over",
    settled: () => "all was paid: the window is settled",
  };
  const showHistory = (lines) => {
    if (!lines.some((l) => l.kind !== "instruct" && l.kind !== "settled")) return [];
    const out = [el("h3", "What happened when it was settled")];
    for (const who of new Set(lines.filter((l) => l.kind === "short").map((l) => l.debtor + " " + l.currency))) {
      const [debtor, currency] = who.split(" "), sum = (list) => String(list.reduce((n, l) => n + BigInt(l.amount_minor || 0), 0n));
      const mine = lines.filter((l) => l.debtor === debtor && l.currency === currency), short = mine.find((l) => l.kind === "short");
      const covers = mine.filter((l) => l.kind === "cover"), own = covers.filter((l) => !l.creditor || l.creditor === debtor), others = covers.filter((l) => l.creditor && l.creditor !== debtor), later = mine.filter((l) => l.kind === "defer");
      const steps = [["prefunding", own], ["share", others], ["recast", later]].map(([step, list]) => ({ step, amount: text.decimal(sum(list), currency) })).filter((s) => Number(s.amount) > 0);
      const box = el("div", undefined, "picture");
      box.append(el("p", debtor + " was short of " + amount(short) + (steps.length ? "; it was found so:" : "; nobody has paid for it yet."), steps.length ? "note" : "short"), ...(steps.length ? [draw.layers({ steps, missing: text.decimal(short.amount_minor, currency), currency })] : []));
      out.push(box);
    }
    const list = el("ul", undefined, "told"), deferred = lines.filter((l) => l.kind === "defer").length;
    for (const l of lines) if (told[l.kind]) list.append(el("li", l.time.slice(11, 23) + "  " + told[l.kind](l)));
    if (deferred) list.append(el("li", deferred + " payments rolled over into the next window"));
    out.push(list);
    return out;
  };

  const stress = async (id) => { try { stressed = await get("/v1/windows/" + id + "/stress"); say(""); } catch (fault) { say(fault.message); } refresh(); };
  const save = async (id) => {
    try {
      const a = el("a");
      a.href = URL.createObjectURL(await (await ask("/v1/windows/" + id + "?format=zip", { headers: { Accept: "application/zip" } })).blob());
      a.download = id + ".zip";
      a.click();
      setTimeout(() => URL.revokeObjectURL(a.href), 60000);
    } catch (fault) { say(fault.message); }
  };

  const showModels = (list) => $("models").replaceChildren(...list.map((m) => row(th(m.model || "default"), el("td", m.method), el("td", m.open || "", "id"),
    el("td", m.next ? m.next.local : m.fault || "by hand", m.fault ? "short long" : ""), el("td", m.next ? m.next.value_date : ""))));

  const showProjection = (p) => {
    $("projectsays").textContent = p.windows.length ? "If " + p.windows.join(", ") + " were closed and settled now, and nothing else happened, " + (Object.keys(p.to_move).sort().map((c) => text.grouped(p.to_move[c]) + " " + c).join(", ") || "nothing") + " would move. " +
      (p.beyond ? p.beyond + " would be beyond their cap." : "Nobody would be beyond its cap.") : "Nothing is left to settle.";
    $("projected").replaceChildren(...p.positions.map((r) => row(th(r.participant), el("td", r.currency), el("td", text.grouped(r.position), "num"), el("td", text.grouped(r.settled), "num"),
      el("td", text.grouped(r.after), "num"), el("td", text.grouped(r.reserved), "num opt"), el("td", text.grouped(r.cap || ""), "num"), el("td", text.grouped(r.beyond || ""), "num short"))));
  };

  const showBreaks = (list) => list.map((b) => row(el("td", b.kind), el("td", text.money(b.at_risk), "num"), el("td", b.owner), el("td", b.participant || ""), el("td", b.window ? String(b.window) : "", "id"),
    el("td", utc(b.first_seen).slice(5)), el("td", (b.payment || b.ref || "").slice(0, 18), "id opt")));
  const showCaps = (list) => list.map((c) => {
    const act = el("td"), path = "/v1/caps/proposals/" + encodeURIComponent(c.key);
    if (c.state === "waiting") act.append(button("Approve", path + "/approve"));
    act.append(button("Reject", path + "/reject"));
    return row(el("td", c.participant), el("td", text.money(c.cap), "num"), act, el("td", text.money(c.standing), "num"), el("td", c.maker), el("td", c.state === "stale" ? "the cap was changed since" : c.state));
  });
  const showDisputes = (list) => list.map((d) => {
    const id = el("td", undefined, "id");
    id.append(link(d.payment.slice(0, 8) + "…" + d.payment.slice(-6), "dispute " + d.dispute, () => open(d.payment)));
    return row(id, el("td", text.money(d.amount), "num"), el("td", d.turn || "nobody"), el("td", utc(d.deadline).slice(5), d.passed ? "short" : ""), el("td", d.stage), el("td", d.raiser + " → " + d.respondent), el("td", d.title || d.reason, "opt"));
  });

  // A list that this switch does not offer, or not to this caller, is not shown.
  const optional = async (name, path, member, show) => {
    const place = document.querySelector('[data-list="' + name + '"]');
    try {
      const list = (await get(path))[member], rows = show(list);
      $(name).replaceChildren(...(rows.length ? rows : [none()]));
      place.hidden = false;
      return list.length;
    } catch (fault) {
      if (fault.status === undefined) throw fault;
      place.hidden = true;
      return undefined;
    }
  };

  // What changes seldom, or costs more, is asked for seldom.
  let slow = 0, models = [], counts = { open: [] };
  const seldom = async () => {
    if (Date.now() - slow < 5000) return;
    slow = Date.now();
    models = (await get("/v1/models")).models;
    showModels(models);
    const open = [["open disputes", await optional("disputes", "/v1/disputes?open=true&limit=20", "disputes", showDisputes), "between networks"]];
    if (me.operator) {
      open.push(["open breaks", await optional("breaks", "/v1/recon/breaks?state=open&limit=20", "breaks", showBreaks), "against files and bank"]);
      open.push(["caps to decide on", await optional("caps", "/v1/caps/proposals?waiting=true", "proposals", showCaps), "by a second person"]);
      if ($("projection").open) showProjection(await get("/v1/windows/projection"));
    }
    counts = { ...counts, open };
  };

  const showPayments = (list) => {
    const rows = list.map((p) => {
      const id = el("td", undefined, "id");
      id.append(link(p.payment.slice(0, 8) + "…" + p.payment.slice(-6), "payment " + p.payment, () => open(p.payment)));
      const time = el("td", p.changed_at.slice(11, 19));
      time.append(el("span", p.changed_at.slice(19, 23), "opt"));
      return row(time, id, el("td", p.operation || "", "opt"), el("td", p.amount ? text.grouped(p.amount) + " " + p.currency + (p.target ? " → " + text.grouped(p.target) + " " + p.target_currency : "") : "", "num"), el("td", p.state, p.status),
        el("td", p.debtor || ""), el("td", p.creditor || ""), el("td", p.scheme || "", "opt"), el("td", [p.reason, p.reason_name].filter(Boolean).join(" "), "opt"));
    });
    $("payments").replaceChildren(...(rows.length ? rows : [none("none yet: tongma pay send", 9)]));
  };

  // One payment: what the journal says of it, as far as it was heard or can be read.
  const heard = new Map();
  const remember = (l) => {
    const id = l.kind === "dispute" || l.kind === "dispute-step" ? l.original : l.payment;
    if (!id) return;
    if (!heard.has(id)) { heard.set(id, []); if (heard.size > 3000) heard.delete(heard.keys().next().value); }
    heard.get(id).push(l);
  };
  const amount = (l) => l.amount_minor === undefined ? "" : text.grouped(text.decimal(l.amount_minor, l.currency)) + " " + l.currency;
  const meaning = {
    refuse: (l) => "refused before anything was held: " + l.reason_name + ". No money moved.",
    hold: (l) => amount(l) + " of " + l.debtor + " is held for " + l.creditor + ", before its scheme is asked.",
    pend: () => "the payer is confirming in the wallet; the hold stays.",
    post: (l) => "the scheme said yes: " + l.debtor + " owes " + l.creditor + " " + amount(l) + ", in window " + (l.window || "") + (l.fees ? "; fees " + l.fees.map((f) => f.from + "→" + f.to + " " + text.decimal(f.fee_minor, l.currency)).join(", ") : "") + ".",
    void: (l) => "the scheme said no: " + (l.reason_name || "") + ". The hold is gone, no money moved.",
    expire: () => "nobody confirmed in time. The hold is gone, no money moved.",
    reversing: (l) => "it is being undone: " + (l.reason_name || "") + ". From here on a yes does not count.",
    reversed: () => "undone: nobody owes anything for it.",
    tombstone: () => "its reversal came first: it can never be paid.",
    defer: (l) => "its payer's network could not settle: it rolled over into window " + (l.auth_window || "") + ".",
    dispute: (l) => l.debtor + " disputes " + amount(l) + "; as much cannot be refunded.",
    "dispute-step": (l) => "the dispute comes to: " + l.stage + ".",
  };
  const colour = { hold: "bar", post: "good", pend: "wait", reversing: "wait", dispute: "wait", reversed: "dim", tombstone: "dim" };
  const open = async (id) => {
    let p = null, lines = [...(heard.get(id) || [])], note = "";
    try {
      p = await get("/v1/payments/" + encodeURIComponent(id));
      if (me.operator && p.entry && !lines.some((l) => l.kind === "hold" || l.kind === "refuse")) {
        const page = await get("/v1/journal?limit=1000&from=" + Math.max(1, p.entry - 990));
        lines = page.lines.filter((l) => l.payment === id || (l.kind.startsWith("dispute") && l.original === id));
      }
      say("");
    } catch (fault) { return say(fault.message); }
    lines = [...new Map(lines.map((l) => [l.entry, l])).values()].sort((x, y) => x.entry - y.entry);
    if (!lines.some((l) => l.kind === "hold" || l.kind === "refuse" || l.kind === "tombstone")) note = "Its first entries lie further back than this page looks: tongma journal dump.";
    const begin = lines.length ? Date.parse(lines[0].time) : 0, steps = lines.map((l) => ({ kind: l.kind, at: Date.parse(l.time), after: Date.parse(l.time) - begin, colour: colour[l.kind] || "bad" }));
    $("p-id").textContent = id;
    $("p-says").textContent = { approved: "Approved: the money is owed from network to network, and moves when window " + (p.window || "") + " settles.", declined: "Declined: no money moved.", reversed: "Reversed: it was undone.", pending: "Not known yet. The switch goes on asking, and undoes it if it cannot find out." }[p.status] +
      (p.reason ? " " + p.reason + " " + p.reason_name + ": " + (p.title || "") + "." : "");
    $("p-says").className = p.status;
    $("p-line").replaceChildren(...(steps.length > 1 ? [draw.timeline(steps)] : []));
    $("p-steps").replaceChildren(...lines.map((l) => row(el("td", text.lasted(Date.parse(l.time) - begin)), el("td", l.kind), el("td", meaning[l.kind] ? meaning[l.kind](l) : "", "long"), el("td", String(l.entry), "num opt"))));
    $("p-note").textContent = (note ? note + " " : "") + "tongma pay get " + id;
    if (!$("payment").open) $("payment").showModal();
  };

  let due = 0, running = false;
  const refresh = async () => {
    if (running) { due = 1; return; }
    running = true;
    const focus = document.activeElement && document.activeElement.dataset.key;
    try {
      const [positions, windows, payments, status] = await Promise.all([get("/v1/positions"), get("/v1/windows?limit=12"), get("/v1/payments?limit=12"), me.operator ? get("/v1/status") : null]);
      await seldom();
      counts.status = status;
      showGlance(windows.windows, models, counts);
      showPositions(positions.positions);
      showWindows(windows.windows, models);
      const one = seen ? windows.windows.find((w) => w.window === seen) || await get("/v1/windows/" + seen) : null;
      if (one) showWindow(one, await history(one)); else $("window").hidden = true;
      showPayments(payments.payments);
      $("clock").textContent = new Date().toISOString().slice(0, 19).replace("T", " ") + " UTC";
      if (focus && document.activeElement === document.body) { const again = document.querySelector('[data-key="' + CSS.escape(focus) + '"]'); if (again) again.focus({ preventScroll: true }); }
    } catch (fault) { if (fault.status === 401) enter("The token is no longer taken."); else say(fault.message); }
    running = false;
  };
  // However many events come, the page is drawn once a second at most.
  setInterval(() => { if (me && due) { due = 0; refresh(); } }, 1000);

  const live = (on) => { $("live").textContent = on ? "live" : "stale: these figures are old"; $("live").className = "pill " + (on ? "on" : "off"); };
  const ends = { post: 1, void: 0, refuse: 0, expire: 0, reversed: 0 };
  const take = (event) => {
    const kind = /"kind":"([a-z-]+)"/.exec(event);
    if (!kind) return;
    due = 1;
    const second = now();
    if (kind[1] in ends) { second.ends++; second.paid += ends[kind[1]]; }
    if (second.ends < 500 || settlingKinds.includes(kind[1])) try { const l = JSON.parse(event.slice(event.indexOf("data: ") + 6)); remember(l); note(l); } catch { /* cut off: the journal has it */ }
  };
  let listening = false;
  const listen = async () => {
    if (listening) return;
    for (listening = true; listening;) {
      try {
        const reader = (await ask("/v1/events", { headers: { Accept: "text/event-stream" } })).body.pipeThrough(new TextDecoderStream()).getReader();
        live(true);
        due = 1;
        for (let rest = ""; ;) {
          const { done, value } = await reader.read();
          if (done) break;
          const events = (rest + value).split("\n\n");
          rest = events.pop();
          events.forEach(take);
        }
      } catch (fault) { if (fault.status === 401) { listening = false; return enter("The token is no longer taken."); } }
      live(false);
      await new Promise((go) => setTimeout(go, 1000));
    }
  };

  const enter = async (word) => {
    try { me = await get("/v1/whoami"); } catch (fault) {
      me = null;
      $("main").hidden = $("find").hidden = true;
      $("door").hidden = false;
      $("live").textContent = "";
      $("doorword").textContent = word || (!token ? "" : fault.status === 401 ? "This is no token of this switch. Copy the one line of the file; a token of another switch, or of a folder that was made anew, opens nothing here." : fault.message);
      $("token").focus();
      return;
    }
    $("door").hidden = true;
    $("main").hidden = $("find").hidden = false;
    $("who").textContent = me.operator ? me.person || "operator" : me.participant;
    $("place").textContent = me.sandbox ? "sandbox: play money" : "";
    $("role").textContent = "writer";
    for (const part of document.querySelectorAll("[data-operator]")) part.hidden = !me.operator;
    slow = 0;
    await refresh();
    listen();
  };

  $("projection").addEventListener("toggle", () => { if ($("projection").open) { slow = 0; due = 1; } });
  $("door").addEventListener("submit", (e) => { e.preventDefault(); token = $("token").value.trim(); enter(""); });
  $("find").addEventListener("submit", async (e) => {
    e.preventDefault();
    const what = $("sought").value.trim();
    if (/^pay_/i.test(what)) return open(what);
    try { chosen = (await get("/v1/windows/" + encodeURIComponent(what))).window; say(""); refresh(); $("t-win").scrollIntoView(); } catch (fault) { say(fault.message); }
  });
  const lights = ["", "light", "dark"];
  const shine = (which) => { document.documentElement.style.colorScheme = which || "light dark"; };
  let lit = 0;
  try { lit = Math.max(0, lights.indexOf(localStorage.getItem("tongma-light") || "")); } catch { /* not allowed to remember */ }
  shine(lights[lit]);
  $("light").addEventListener("click", () => { lit = (lit + 1) % 3; shine(lights[lit]); try { localStorage.setItem("tongma-light", lights[lit]); } catch { /* the same */ } });
  enter("");
})();
