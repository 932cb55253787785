// Shows /status.json as pictures and keeps it up to date. All text that comes from
// outside is set as text; nothing here makes HTML of it.
"use strict";
(() => {
  const kRefresh = 5000, kOutdated = 15000, kKeptChanges = 32;
  const kOutcomes = ["hit", "stale", "miss", "collapsed", "offline", "pass", "failed", "absent", "refused"];
  const kMeaning = {
    hit: "fresh, from what is stored", stale: "stored, past its freshness", miss: "fetched",
    collapsed: "shared another's fetch", offline: "from the offline database",
    pass: "passed through: no GET or HEAD",
    failed: "5xx; marked above the chart", absent: "504 to only-if-cached, or by a route that is offline", refused: "4xx, the request's fault",
  };
  const kSigns = {
    good: "M3 8.5 6.5 12 13 4.5", warn: "M8 2.5v6.5M8 12.6v.2", bad: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  };
  const byId = (id) => document.getElementById(id);
  let data = JSON.parse(byId("data").textContent);
  // Of a machine that slept only the wall clock tells, of one whose clock was set only the other.
  const present = () => ({ steady: performance.now(), wall: Date.now() });
  let drawnAt = present();
  let failing = false;

  // ---- Making elements ----
  function element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }
  function shape(tag, attributes, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }
  const setText = (id, text) => { if (byId(id).textContent !== text) byId(id).textContent = text; };
  const row = (head, ...cells) => element("tr", {}, element("th", { scope: "row" }, head),
    ...cells.map((cell) => cell instanceof Node && cell.tagName === "TD" ? cell : element("td", {}, cell)));
  // What has not changed stays, and with it what somebody has marked to copy.
  function rows(id, made) {
    const host = byId(id);
    made.forEach((fresh, i) => {
      const old = host.children[i];
      if (!old) host.append(fresh);
      else if (!old.isEqualNode(fresh)) old.replaceWith(fresh);
    });
    while (host.children.length > made.length) host.lastElementChild.remove();
  }
  const facts = (pairs) => element("dl", { class: "facts" },
    ...pairs.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  const pill = (kind, text) => element("span", { class: "pill small " + kind },
    shape("svg", { class: "sign", viewBox: "0 0 16 16", "aria-hidden": "true" }, shape("path", { d: kSigns[kind] })),
    text);

  // ---- Words ----
  const count = (n) => Math.round(n).toLocaleString("en-US");
  const short = (n) => n < 9.95 ? n.toFixed(1) : n < 1000 ? n.toFixed(0) : count(n);
  // Never rounded up to 100 nor down to 0.
  function percent(share) {
    if (share === null) return "–";
    if (share >= 1) return "100 %";
    if (share <= 0) return "0 %";
    return share < 0.0001 ? "< 0.01 %" : (Math.floor(share * 10000 + 1e-6) / 100).toFixed(2) + " %";
  }
  function duration(seconds) {
    if (seconds === null) return "–";
    if (seconds >= 11 && seconds < 11.001) return "≥ 11 s";
    if (seconds < 0.001) return Math.round(seconds * 1e6) + " µs";
    return seconds < 1 ? short(seconds * 1e3) + " ms" : short(seconds) + " s";
  }
  function span(seconds) {
    const s = Math.max(0, Math.floor(seconds));
    const two = (a, unit, b, small) => a + " " + unit + (b ? " " + b + " " + small : "");
    if (s < 60) return s + " s";
    if (s < 3600) return two(Math.floor(s / 60), "min", s % 60, "s");
    if (s < 86400) return two(Math.floor(s / 3600), "h", Math.floor(s % 3600 / 60), "min");
    return two(Math.floor(s / 86400), "d", Math.floor(s % 86400 / 3600), "h");
  }
  function bytes(n) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (n >= 1000 && unit < 4) { n /= 1024; unit++; }
    return (unit ? short(n) : n) + " " + units[unit];
  }
  const seconds = (moment) => Date.parse(moment) / 1000;
  const clock = (moment) => new Date(moment).toLocaleTimeString("en-GB");
  const ago = (moment) => moment ? span(seconds(data.at) - seconds(moment)) + " ago" : "never";
  // In the reader's own time, which the log is not in: so its offset stands with it.
  function zone() {
    const minutes = -new Date(data.at).getTimezoneOffset(), size = Math.abs(minutes);
    if (!minutes) return "UTC";
    return "UTC" + (minutes < 0 ? "−" : "+") + Math.floor(size / 60) + (size % 60 ? ":" + String(size % 60).padStart(2, "0") : "");
  }
  function time(moment) {
    const at = new Date(moment), today = at.toDateString() === new Date(data.at).toDateString();
    const day = today ? "" : at.toLocaleDateString("en-GB", { day: "numeric", month: "short" }) + " ";
    return element("time", { datetime: moment }, day + clock(moment));
  }

  // ---- Charts: x is the time since the start, at most the last hour, in pixels ----
  let range = 3600;  // seconds
  function setRange() {
    const up = seconds(data.at) - seconds(data.started);
    range = [300, 600, 1200, 2400].find((r) => up <= r) || 3600;
    for (const place of document.querySelectorAll(".range")) {
      place.textContent = range === 3600 ? "the last hour" : `the last ${range / 60} minutes`;
    }
  }
  function frame(id, left, right) {
    const host = byId(id);
    const width = Math.max(200, host.clientWidth), height = host.clientHeight;
    const now = seconds(data.at);
    const x = (at) => left + (width - left - right) * (1 - (now - at) / range);
    const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
    return { host, svg, width, height, x, left, right, top: 8, bottom: height - 20, now };
  }
  function timeAxis(f) {
    const fifths = range < 2400;  // so that the minutes are whole
    const parts = f.width < 480 ? [1, fifths ? 0.4 : 0.5, 0] : fifths ? [1, 0.8, 0.6, 0.4, 0.2, 0] : [1, 0.75, 0.5, 0.25, 0];
    for (const part of parts) {
      const minutes = +(part * range / 60).toFixed(2);
      const anchor = part === 1 ? "start" : part === 0 ? "end" : "middle";
      f.svg.append(shape("text", { x: f.x(f.now - minutes * 60), y: f.height - 4, "text-anchor": anchor },
        minutes ? "−" + minutes + " min" : "now"));
    }
  }
  function gridLine(f, y, label) {
    f.svg.append(shape("line", { class: "grid", x1: f.left, x2: f.width - f.right, y1: y, y2: y }),
      shape("text", { x: f.left - 6, y: y + 4, "text-anchor": "end" }, label));
  }
  // The samples within the hour, each with its outcome rates.
  function samples() {
    const h = data.history, now = seconds(data.at), list = [];
    h.at.forEach((at, i) => {
      // The last one has only begun: too short, it would be a spike or a gap.
      if (now - at > range || h.seconds[i] < Math.min(2, h.step_seconds / 5)) return;
      list.push({ at, length: h.seconds[i], from: at - h.seconds[i], i });
    });
    return list;
  }
  const rate = (sample, outcome) => data.history[outcome][sample.i] / sample.length;
  const nearest = (list, f, px) => list.reduce((best, s) =>
    Math.abs(f.x(s.at - s.length / 2) - px) < Math.abs(f.x(best.at - best.length / 2) - px) ? s : best, list[0]);
  // A line that follows the pointer, and words for where it stands, also when the
  // chart is drawn anew under it.
  const pointers = {};
  function reading(f, list, id, words) {
    const cross = shape("line", { class: "cross", y1: f.top, y2: f.bottom });
    f.svg.append(cross);
    const show = () => {
      const over = pointers[id] !== undefined && list.length > 0;
      cross.setAttribute("visibility", over ? "visible" : "hidden");
      if (!over) return setText(id, "");
      const s = nearest(list, f, pointers[id]), px = f.x(s.at - s.length / 2);
      cross.setAttribute("x1", px);
      cross.setAttribute("x2", px);
      setText(id, clock(s.at * 1000) + "  " + words(s));
    };
    f.svg.addEventListener("pointermove", (event) => {
      pointers[id] = event.clientX - f.svg.getBoundingClientRect().left;
      show();
    });
    f.svg.addEventListener("pointerleave", () => { delete pointers[id]; show(); });
    show();
  }
  function pattern(outcome) {
    const marks = {
      stale: [shape("path", { class: "ink", d: "M-2 10 10 -2M4 16 16 4M-2 2 2 -2M10 14 14 10" })],
      collapsed: [shape("path", { class: "ink", d: "M0 3h12M0 9h12" })],
      offline: [shape("circle", { class: "dot", cx: 3, cy: 3, r: 1.5 }), shape("circle", { class: "dot", cx: 9, cy: 9, r: 1.5 })],
      pass: [shape("path", { class: "ink", d: "M0 6h12M6 0v12" })],
      failed: [shape("path", { class: "ink", d: "M0 0 12 12M12 0 0 12" })],
      absent: [shape("circle", { class: "dot", cx: 6, cy: 6, r: 2 })],
      refused: [shape("path", { class: "ink", d: "M3 0v12M9 0v12" })],
    }[outcome];
    if (!marks) return null;
    return shape("pattern", { id: "pattern-" + outcome, width: 12, height: 12, patternUnits: "userSpaceOnUse" },
      shape("rect", { width: 12, height: 12, class: outcome }), ...marks);
  }
  // Where a class would fill plainly, a pattern's reference wins as an attribute cannot: so no class then.
  const filled = (outcome) => pattern(outcome) ? { fill: `url(#pattern-${outcome})` } : { class: outcome };

  function niceTop(value) {
    if (value <= 0) return 1;
    const unit = 10 ** Math.floor(Math.log10(value));
    return [1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10].map((n) => n * unit).find((n) => n >= value);
  }
  function drawAreas() {
    const list = samples();
    const totals = list.map((s) => kOutcomes.reduce((sum, o) => sum + rate(s, o), 0));
    const most = niceTop(Math.max(0, ...totals));
    const f = frame("areas", 44, 2);
    f.top = 14;
    const y = (value) => f.bottom - (f.bottom - f.top) * value / most;
    for (const part of [0, 0.5, 1]) gridLine(f, y(most * part), most * part < 10 ? String(+(most * part).toFixed(2)) : count(most * part));
    timeAxis(f);
    const below = list.map(() => 0);
    for (const outcome of kOutcomes) {
      if (!list.some((s) => rate(s, outcome) > 0)) continue;
      let upper = "", lower = "";
      list.forEach((s, n) => {
        const from = f.x(Math.max(s.from, f.now - range)).toFixed(1), to = f.x(s.at).toFixed(1);
        const low = y(below[n]).toFixed(1);
        below[n] += rate(s, outcome);
        const high = y(below[n]).toFixed(1);
        upper += `L${from} ${high}L${to} ${high}`;
        lower = `L${to} ${low}L${from} ${low}` + lower;
      });
      const d = "M" + upper.slice(1) + lower + "Z";
      f.svg.append(shape("path", { d, ...filled(outcome) }));
    }
    // A few failures among many requests would be too thin to see.
    for (const s of list.filter((each) => rate(each, "failed") > 0)) {
      const from = f.x(Math.max(s.from, f.now - range));
      f.svg.append(shape("rect", { class: "failed", x: from, y: 1, width: Math.max(2, f.x(s.at) - from), height: 6 },
        shape("title", {}, "some failed")));
    }
    f.svg.setAttribute("aria-label", "Requests per second over time by outcome; the table below has the numbers");
    reading(f, list, "areas-reading", (s) => kOutcomes.filter((o) => rate(s, o) > 0)
      .map((o) => o + " " + short(rate(s, o)) + "/s").join("  ·  ") || "no requests");
    f.host.replaceChildren(f.svg);

    const hour = data.hour, all = kOutcomes.reduce((sum, o) => sum + hour[o], 0);
    const shown = kOutcomes.filter((o) => hour[o] > 0 || ["hit", "stale", "miss", "failed"].includes(o));
    byId("legend").replaceChildren(...shown.map((o) => element("li", { title: kMeaning[o] },
      shape("svg", { viewBox: "0 0 18 14", "aria-hidden": "true" }, shape("rect", { width: 18, height: 14, ...filled(o) })),
      element("span", {}, o), element("b", {}, all ? percent(hour[o] / all) : "–"),
      element("span", { class: "muted" }, kMeaning[o]))));
    // Five minutes a row, and none for what was before the start.
    rows("areas-head", [element("tr", {}, element("th", { scope: "col" }, "Minutes ago"),
      ...kOutcomes.map((o) => element("th", { scope: "col" }, o)))]);
    const groups = Array.from({ length: range / 300 }, () => Object.fromEntries(kOutcomes.map((o) => [o, 0])));
    for (const s of list) {
      const group = groups[Math.min(groups.length - 1, Math.floor((f.now - s.at) / 300))];
      for (const o of kOutcomes) group[o] += data.history[o][s.i];
    }
    rows("areas-rows", groups.map((g, i) => row(`${i * 5} to ${i * 5 + 5}`, ...kOutcomes.map((o) => count(g[o])))));
  }

  function drawLines() {
    const list = samples().filter((s) => data.history.p50[s.i] !== null);
    const f = frame("lines", 52, 34);
    const values = list.flatMap((s) => [data.history.p50[s.i], data.history.p99[s.i]]);
    const low = Math.max(-5, Math.min(-4, Math.floor(Math.log10(Math.max(1e-5, Math.min(1, ...values))))));
    const high = Math.max(0, Math.ceil(Math.log10(Math.max(1e-3, ...values))));
    const y = (v) => f.bottom - (f.bottom - f.top) * (Math.log10(Math.max(v, 10 ** low)) - low) / (high - low);
    for (let power = low; power <= high; power++) gridLine(f, y(10 ** power), duration(10 ** power).replace(".0", ""));
    timeAxis(f);
    const labels = [];
    for (const name of ["p50", "p95", "p99"]) {
      let d = "", last = null;
      for (const s of list) {
        const px = f.x(s.at - s.length / 2).toFixed(1), py = y(data.history[name][s.i]).toFixed(1);
        d += (last !== null && s.from - last < 1.5 ? "L" : "M") + px + " " + py;
        last = s.at;
      }
      if (!d) continue;
      f.svg.append(shape("path", { class: "line " + name, d }));
      labels.push({ name, y: y(data.history[name][list[list.length - 1].i]) });
    }
    // Labels at the lines' ends, kept apart and within: first down from the top, then up from the bottom.
    labels.sort((a, b) => a.y - b.y || b.name.localeCompare(a.name));
    labels.forEach((l, i) => { l.y = Math.max(l.y, i ? labels[i - 1].y + 13 : f.top); });
    labels.reverse().forEach((l, i) => { l.y = Math.min(l.y, i ? labels[i - 1].y - 13 : f.bottom); });
    for (const l of labels) f.svg.append(shape("text", { class: "direct", x: f.width - f.right + 6, y: l.y + 4 }, l.name));
    f.svg.setAttribute("aria-label", "Latency percentiles over time; the table below has the numbers");
    reading(f, list, "lines-reading", (s) => ["p50", "p95", "p99"].map((n) => n + " " + duration(data.history[n][s.i])).join("  ·  "));
    f.host.replaceChildren(f.svg);
    const l = data.hour.latency;
    rows("latency", ["all", ...kOutcomes.filter((o) => l[o] && l[o].p50 !== null)].map((o) =>
      row(o === "failed" ? "failed, refused" : o, duration(l[o].p50), duration(l[o].p95), duration(l[o].p99))));
  }

  // ---- The upstream ----
  function strip(origin, index) {
    const id = "strip-" + index;
    const host = element("div", { class: "chart strip", id });
    return { host, draw() {
      const f = frame(id, 0, 0), changes = origin.breaker_history;
      // Only the latest changes are told; of the time before them nothing is known.
      const known = changes.length < kKeptChanges ? seconds(data.started) : seconds(changes[0].at);
      const began = Math.max(f.now - range, known);
      let open = changes.length ? changes[0].to === "closed" : origin.breaker !== "closed";
      let from = began, outage = 0;
      const cuts = [...changes.map((c) => ({ at: seconds(c.at), open: c.to !== "closed" })), { at: f.now, open: false }];
      f.svg.append(shape("rect", { class: "closed", x: f.x(began), y: 17, width: f.x(f.now) - f.x(began), height: 3 }));
      for (const cut of cuts) {
        const to = Math.max(from, Math.min(cut.at, f.now));
        if (open && to > from) {
          outage += to - from;
          f.svg.append(shape("rect", { class: "open", x: f.x(from), y: 4, width: Math.max(2, f.x(to) - f.x(from)), height: 18 }));
        }
        from = to;
        open = cut.open;
      }
      timeAxis(f);
      f.svg.setAttribute("aria-label", "Breaker over that time: open for " + span(outage));
      f.host.replaceChildren(f.svg);
    } };
  }
  function drawOrigins() {
    const strips = [];
    byId("origins").replaceChildren(...data.upstream.origins.map((o, i) => {
      const kind = o.breaker !== "closed" ? "bad" : o.attempts_lately >= 10 && o.error_rate >= 0.1 ? "warn" : "good";
      const s = strip(o, i);
      strips.push(s);
      const changes = o.breaker_history.slice(-5).reverse().map((c) => element("li", {}, time(c.at),
        c.to === "closed" ? "closed" : "opened" + (c.last_error ? ": " + c.last_error : "")));
      const addresses = o.addresses.map((a) => element("li", {}, (a.address || "the URL's address") + (a.dark ? ": left out" : "") +
        (a.connect_seconds ? ": connects in " + duration(a.connect_seconds) + (a.tls_seconds ? ", TLS takes " + duration(a.tls_seconds) : "") : "") +
        (a.last_error ? "; last error: " + a.last_error : "")));
      const pace = o.pace === null ? "not limited" : short(o.pace) + "/s";
      return element("div", { class: "origin" },
        element("h3", {}, o.name, pill(kind, "breaker " + o.breaker.replace("_", "-") + (o.forced ? ", forced" : "")),
          ...(data.upstream.token === "refused" ? [pill("bad", "token refused")] : []),
          ...(o.certificate_refused ? [pill("bad", "certificate refused")] : []),
          ...(o.redirect ? [pill("bad", "redirects: " + o.redirect)] : []),
          ...(o.answers_refused ? [pill("bad", "answers refused: " + o.answers_refused)] : []),
          ...(o.clock_ahead_seconds !== null ? [pill("warn", "clock " + span(Math.abs(o.clock_ahead_seconds)) + (o.clock_ahead_seconds > 0 ? " ahead of" : " behind") + " ours")] : []),
          ...(o.name_trouble ? [pill("warn", "name: " + o.name_trouble)] : []),
          element("span", { class: "muted" }, "for " + span(seconds(data.at) - seconds(o.breaker_since)))),
        element("div", { class: "columns" },
          facts([
            ["Failing lately", o.breaker !== "closed" ? "only probes are sent" : o.attempts_lately ? percent(o.error_rate) + " of " + count(o.attempts_lately) + " attempts" : "not asked"],
            ["Last success", ago(o.last_success)],
            ["Last error", o.last_error ? ago(o.last_error_at) + ": " + o.last_error : "none"],
          ]),
          facts([
            ["In flight", o.in_flight + " of at most " + o.concurrency_limit],
            ["Usually answers in", o.median_seconds ? duration(o.median_seconds) + ", raced after " + duration(o.suspect_after_seconds) : "not known yet"],
            ["Pace", pace + (o.next_probe_seconds !== null ? ", next probe in " + duration(o.next_probe_seconds) : "")],
          ])),
        element("ul", { class: "changes" }, ...addresses), s.host, element("ul", { class: "changes" }, ...changes));
    }));
    for (const s of strips) s.draw();
    const u = data.upstream;
    setText("queues", `${count(u.in_flight)} in flight, ${count(u.queued)} queued, ${count(u.parked)} waiting for a breaker; ` +
      `${short(u.retry_budget)} retries in the budget; token ${u.token}` +
      (u.forbidden_share !== null ? `; forbids to store ${percent(u.forbidden_share)} of its latest answers` : ""));
    const m = data.minute.attempts, h = data.hour.attempts;
    const all = Object.values(h).reduce((a, b) => a + b, 0);
    const seen = Object.keys(h).filter((k) => h[k]).sort((a, b) => h[b] - h[a]);
    rows("attempts", seen.length ? seen.map((k) => {
      const fill = element("span", { class: { ok: "", not_modified: "", cancelled: "neutral" }[k] ?? "full" });
      fill.style.width = 100 * h[k] / all + "%";
      return row(k, count(m[k]), count(h[k]), element("td", { class: "wide" }, percent(h[k] / all), element("span", { class: "bar" }, fill)));
    }) : [row("none", "0", "0", element("td", { class: "wide" }, "–"))]);
  }

  // ---- What is stored ----
  function meter(title, used, limit, entries, details) {
    const share = limit ? Math.min(1, used / limit) : 0;
    const fill = element("span", { class: share > 0.9 ? "full" : "" });
    fill.style.width = 100 * share + "%";
    return element("div", { class: "meter" }, element("p", { class: "muted" }, title),
      element("p", {}, element("b", {}, count(entries)), " responses, ", bytes(used), ...(limit ? [" of " + bytes(limit) + " ", element("span", { class: "nowrap" }, `(${percent(share)})`)] : [])),
      element("span", { class: "bar", role: "img", "aria-label": percent(share) + " full" }, fill), facts(details));
  }
  function drawStored() {
    const { memory: m, store: s } = data;
    const parts = [meter("Memory", m.bytes, m.limit_bytes, m.entries, [["Evicted", count(m.evictions)]])];
    if (s.configured) {
      parts.push(meter("Store on disk", s.bytes, s.limit_bytes, s.entries, [
        ["State", s.trouble ? pill("warn", s.trouble) : pill("good", "ok")],
        ["Waiting", count(s.queued) + " writes; last commit took " + duration(s.last_commit_seconds)],
        ["Lost or bad", `${count(s.dropped)} dropped, ${count(s.read_errors + s.write_errors)} errors, ${count(s.corrupt_rows)} corrupt`],
        ["Received", s.oldest ? `oldest ${ago(s.oldest)}, newest ${ago(s.newest)}` : "nothing yet"],
      ]));
    } else {
      parts.push(element("p", { class: "muted" }, "No store on disk: STORE_PATH is off."));
    }
    rows("stored", parts);
    const share = data.hour.share_without_upstream;
    const old = s.oldest ? data.usable_for_seconds - (seconds(data.at) - seconds(s.oldest)) : null;
    setText("runway", (share === null ? "" : `${percent(share)} of the last hour's requests needed no upstream. `) +
      `A response answers for ${span(data.usable_for_seconds)} after it was received` +
      (old === null ? "." : old > 0 ? `; the oldest for another ${span(old)}.` : "."));
  }

  // ---- The rest ----
  function setState(kind, words) {
    byId("pill").className = "pill " + kind;
    byId("sign").setAttribute("d", kSigns[kind]);
    setText("state", words);
    document.title = words + " – Holdfast";
  }
  function drawTop() {
    const kind = { ok: data.minute.failed ? "warn" : "good", degraded: "warn", down: "bad" }[data.state];
    setState(kind, { ok: data.minute.failed ? "Some failed" : "OK", degraded: "Degraded", down: "Down" }[data.state]);
    setText("headline", data.headline);
    setRange();
    setText("about", `${data.version}, up ${span(seconds(data.at) - seconds(data.started))}`);
    const { minute, hour } = data, n = (w) => w.ok + w.failed;
    const known = hour.seconds < 3500 ? "since " + clock((seconds(data.at) - hour.seconds) * 1000) : count(n(hour)) + " requests";
    const p = minute.latency.all;
    const tiles = [
      ["200s, last minute", percent(minute.share_ok), minute.failed ? count(minute.failed) + " of " + count(n(minute)) + " failed" : count(n(minute)) + " requests"],
      ["200s, last hour", percent(hour.share_ok), hour.failed ? count(hour.failed) + " of " + count(n(hour)) + " failed" : known],
      ["Requests per second", short((n(minute) + minute.absent + minute.refused) / Math.max(1, minute.seconds)), `${count(data.requests_in_flight)} in flight, ${count(data.connections)} connections`],
      ["p50, last minute", duration(p.p50), `p95 ${duration(p.p95)}, p99 ${duration(p.p99)}`],
    ];
    rows("tiles", tiles.map(([name, value, note]) => element("div", {}, element("dt", {}, name),
      element("dd", {}, value), element("dd", { class: "note" }, note))));
  }
  function drawTables() {
    byId("no-failures").hidden = data.failures.length > 0;
    byId("failures-table").hidden = data.failures.length === 0;
    rows("failures", data.failures.map((f) => row(time(f.last), element("td", { class: "nowrap" }, count(f.count) + " \u00d7"),
      f.status < 500 ? f.status + ", stale" : String(f.status),
      element("td", { class: "wide" }, f.cause), element("td", { class: "id" }, f.request_id))));
    rows("settings", data.settings.map((s) => row(s.key, element("td", { class: "id" }, s.value), s.source)));
    setText("reload", `Last read at ${clock(data.reload.at)}: ` + (data.reload.ok ? "they are good" : "failed: " + data.reload.error));
    setText("loops", "Loop lag: " + data.loops.map((l) => l.name + " " + duration(l.lag_seconds)).join(", "));
  }
  function draw() {
    drawTop();
    drawAreas();
    drawLines();
    drawOrigins();
    drawStored();
    drawTables();
  }
  function drawAge() {
    const age = Math.max(performance.now() - drawnAt.steady, Date.now() - drawnAt.wall);
    const outdated = age > kOutdated;
    setText("updated", failing || outdated ? "last update " + span(age / 1000) + " ago" : `updates itself, as of ${clock(data.at)} ${zone()}`);
    byId("outdated").hidden = !outdated;
    document.body.classList.toggle("is-outdated", outdated);
    if (outdated) setState("bad", "Unknown");
    // No counting here: a screen reader says each change of it.
    if (outdated) setText("outdated", `Out of date: no news from the daemon since ${clock(data.at)}. What is shown is from then.`);
  }
  let timer = 0, asking = false;
  async function refresh() {
    if (asking) return;
    asking = true;
    clearTimeout(timer);
    try {
      const fresh = await ask();
      failing = fresh === null;
      // Another release may say what this script does not know.
      if (fresh && fresh.version !== data.version) return location.reload();
      if (fresh) show(fresh);
    } finally {
      asking = false;
      timer = setTimeout(refresh, kRefresh);
      drawAge();
    }
  }
  function show(fresh) {
    const before = data;
    data = fresh;
    try {
      draw();
      drawnAt = present();
    } catch (error) {
      data = before;
      throw error;
    }
  }
  async function ask() {
    try {
      const response = await fetch("/status.json", { cache: "no-store", signal: AbortSignal.timeout(kRefresh * 2) });
      return response.ok ? await response.json() : null;
    } catch {
      return null;
    }
  }

  try {
    const patterns = kOutcomes.map(pattern).filter(Boolean);
    document.body.append(shape("svg", { width: 0, height: 0, "aria-hidden": "true" }, shape("defs", {}, ...patterns)));
    byId("live").hidden = false;
    draw();
    drawAge();
    byId("plain").remove();
    new ResizeObserver(() => { drawAreas(); drawLines(); drawOrigins(); }).observe(byId("live"));
    setInterval(drawAge, 1000);
    timer = setTimeout(refresh, kRefresh);
    // Browsers let the timers of a hidden page rest.
    document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  } catch (error) {
    document.body.classList.add("plain");  // the tables are better than nothing
    byId("live").hidden = true;
    throw error;
  }
})();
