"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const words = { standby: "This switch stands by", unfit: "This switch stands by, and is not fit to take over", starting: "This switch is starting" };
  const look = async () => {
    try {
      const answer = await fetch("/readyz", { headers: { Accept: "application/json" } });
      if (answer.ok) return location.reload();
      const s = await answer.json();
      $("role").textContent = s.status;
      $("what").textContent = words[s.status] || "This switch is not in office";
      $("lag").textContent = (s.epoch ? "It follows the writer of epoch " + s.epoch + ", and is " + s.lag_entries + " entries behind. " : "") + (s.detail || "");
    } catch { $("role").textContent = "unreachable"; }
    setTimeout(look, 1000);
  };
  look();
})();
