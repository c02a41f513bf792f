"use strict";
const study = { cells: {}, heatmaps: null, loading: {} };
const $ = (id) => document.getElementById(id);

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  for (const child of children) if (child !== null && child !== undefined) element.append(child);
  return element;
}

// Pages on disk may not fetch files beside them, but may load scripts.
function load(file) {
  study.loading[file] ||= new Promise((done, failed) => {
    const script = make("script", { src: file });
    script.onload = done;
    script.onerror = () => { delete study.loading[file]; failed(new Error(file)); };
    document.head.append(script);
  });
  return study.loading[file];
}

function tell(text) {
  $("told").textContent = text;
  $("told").classList.add("on");
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => $("told").classList.remove("on"), 2200);
}

// ---- copying tables
function linesOf(table) {
  return [...table.rows].map((row) => [...row.cells].map((cell) => {
    const small = [...cell.querySelectorAll("small")].map((s) => s.textContent.trim());
    const main = cell.querySelector(".main, .off");
    const first = main ? main.textContent.trim() : [...cell.childNodes].filter((n) => n.nodeType === 3).map((n) => n.textContent.trim()).join(" ");
    return [first, ...small].filter(Boolean);
  }));
}
function markdown(table) {
  const escape = (text) => text.replace(/\\/g, "\\\\").replace(/\|/g, "\\|").replace(/</g, "&lt;");
  const lines = linesOf(table).map((row) => "| " + row.map((cell) => escape(cell.join("; "))).join(" | ") + " |");
  lines.splice(1, 0, "|" + " --- |".repeat(table.rows[0].cells.length));
  return lines.join("\n") + "\n";
}
const TEX = { "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", "%": "\\%", "&": "\\&", "#": "\\#", "$": "\\$", "_": "\\_", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "$<$", ">": "$>$", "|": "$|$", "[": "{[}", "]": "{]}", "\u2212": "$-$", "\u00b1": "$\\pm$", "\u00d7": "$\\times$", "\u03bb": "$\\lambda$", "\u201c": "``", "\u201d": "''", "\u2026": "\\ldots{}", "\u2011": "-", "\u00a0": "~", "\u2265": "$\\ge$", "\u2264": "$\\le$" };
const tex = (text) => [...text].map((character) => TEX[character] ?? character).join("");
function latex(table) {
  const rows = linesOf(table);
  const body = rows.map((row) => {
    const height = Math.max(...row.map((cell) => cell.length));
    const lines = [];
    for (let line = 0; line < height; line++) lines.push(row.map((cell) => cell[line] === undefined ? "" : line ? "{\\scriptsize " + tex(cell[line]) + "}" : tex(cell[line])).join(" & ") + " \\\\");
    return lines.join("\n");
  });
  return "% needs \\usepackage{booktabs}\n\\begin{tabular}{@{}l" + "c".repeat(rows[0].length - 1) + "@{}}\n\\toprule\n" + body[0] + "\n\\midrule\n" + body.slice(1).join("\n") + "\n\\bottomrule\n\\end{tabular}\n";
}
async function copy(text) {
  try { await navigator.clipboard.writeText(text); } catch {
    const area = make("textarea", { style: "position:fixed;top:0;opacity:0", "aria-hidden": "true" });
    area.value = text; document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
  }
  study.copied = text;
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const table = button.closest(".table").querySelector("table");
  copy(button.dataset.copy === "md" ? markdown(table) : latex(table)).then(() => { tell("Copied"); button.focus(); });
});

// ---- cells behind a number
function where(hash) {
  if (!hash.startsWith("#cells=")) return null;
  const [plan, arm, metric, shots, category] = decodeURIComponent(hash.slice(7)).match(/^([^/]+)\/(.*)\/([a-z0-9_]+)\/(\d+|full|own)(?:\/(.*))?$/)?.slice(1) ?? [];
  return plan ? { plan, arm, metric, shots: /^\d+$/.test(shots) ? Number(shots) : shots, category } : null;
}
const pretty = (value) => JSON.stringify(value, null, 1);
function listed(found, content) {
  const arm = content.names.indexOf(found.arm), category = found.category === undefined ? -1 : content.categories.indexOf(found.category);
  const task = content.tasks[found.metric];
  const cells = content.cells.filter((c) => c[0] === arm && c[2] === found.shots && c[4] === task && (category < 0 || c[1] === category));
  const table = make("table", { class: "dense" }, make("thead", {}, make("tr", {}, ...["Category", "Seed", "Score", "Seconds", "Support images", "Cell"].map((h) => make("th", { scope: "col" }, h)))));
  const body = make("tbody");
  for (const c of cells) {
    const score = c[7][found.metric];
    const text = c[6] === "ok" ? (score === undefined ? "not recorded" : (100 * score).toFixed(2)) : c[6] + (c[10] >= 0 ? ": " + content.reasons[c[10]] : "");
    body.append(make("tr", {}, make("th", { scope: "row" }, content.categories[c[1]]), ...[c[3], text, c[8] || "", c[11] >= 0 ? content.supports[c[11]].join(", ") : "", make("code", {}, c[5])].map((v) => make("td", {}, v instanceof Node ? v : String(v)))));
  }
  table.append(body);
  const parts = [make("p", { class: "soft" }, cells.length + (cells.length === 1 ? " cell" : " cells") + ", percent. Each cell is the file rows/CELL.json of the study."), make("div", { class: "scroll", tabindex: "0" }, table)];
  if (arm >= 0) parts.push(make("h4", {}, "What this arm changes"), make("pre", {}, pretty(content.changes[arm])));
  for (const place of new Set(cells.map((c) => c[9]))) if (place >= 0) parts.push(make("details", {}, make("summary", {}, "Full config"), make("pre", {}, pretty(content.configs[place]))));
  for (const place of new Set(cells.map((c) => c[12]))) if (place >= 0) parts.push(make("details", {}, make("summary", {}, "Provenance"), make("pre", {}, pretty(content.origins[place]))));
  return parts;
}
async function route() {
  const found = where(location.hash), dialog = $("behind");
  if (!found) { if (dialog.open) dialog.close(); return; }
  const body = $("behind-body");
  $("behind-title").textContent = [found.arm, found.metric.replace("_", " "), found.shots === "own" ? "own shots" : found.shots + "-shot", found.category].filter(Boolean).join(", ");
  body.replaceChildren("Loading…");
  if (!dialog.open) dialog.showModal();
  try {
    await load("data/" + encodeURIComponent(found.plan) + ".js");
    body.replaceChildren(...listed(found, study.cells[found.plan]));
  } catch { body.replaceChildren("data/" + found.plan + ".js is not beside this page: copy the whole report folder."); }
}
addEventListener("hashchange", route);
$("close").addEventListener("click", () => $("behind").close());
$("behind").addEventListener("click", (event) => { if (event.target === $("behind")) $("behind").close(); });
$("behind").addEventListener("close", () => { if (location.hash.startsWith("#cells=")) history.replaceState(null, "", location.pathname + location.search); });

// ---- heatmap browser
const PAGE = 24;
let page = 0, shown = [];
// Inferno at 16 places, linear between them.
const LUT = [[0,0,4],[12,8,38],[36,12,79],[66,10,104],[93,18,110],[120,28,109],[147,38,103],[174,48,92],[199,62,76],[221,81,58],[237,105,37],[248,133,15],[252,165,10],[250,198,45],[242,230,97],[252,255,164]];
function colour(value) {
  const x = Math.min(1, Math.max(0, value)) * 15, i = Math.min(14, Math.floor(x)), f = x - i;
  return LUT[i].map((low, c) => low + f * (LUT[i + 1][c] - low));
}
function drawMap(canvas, map, low, high) {
  const [height, width, lowest, highest, data] = map, bytes = atob(data);
  canvas.width = width; canvas.height = height;
  const context = canvas.getContext("2d"), pixels = context.createImageData(width, height);
  for (let i = 0; i < bytes.length; i++) {
    const value = lowest + (highest - lowest) * bytes.charCodeAt(i) / 255;
    const [r, g, b] = colour(high > low ? (value - low) / (high - low) : 0);
    pixels.data.set([r, g, b, 255], 4 * i);
  }
  context.putImageData(pixels, 0, 0);
}
const controls = $("controls");
const read = (name) => controls.elements[name].value;
function fits(entry, skip) {
  const plans = study.heatmaps.plans;
  const use = entry.u.some(([p, a]) => (skip === "plan" || !read("plan") || plans[p].title === read("plan")) && (skip === "data" || !read("data") || plans[p].data === read("data")) && (skip === "arm" || !read("arm") || plans[p].arms[a] === read("arm")));
  const is = (name, value) => skip === name || !read(name) || read(name) === String(value);
  return use && is("category", entry.c) && is("kind", entry.k) && is("seed", entry.e) && (skip === "chosen" || !read("chosen") || entry.w.includes(read("chosen")));
}
const VALUES = { plan: (e) => e.u.map(([p]) => study.heatmaps.plans[p].title), data: (e) => e.u.map(([p]) => study.heatmaps.plans[p].data), arm: (e) => e.u.map(([p, a]) => study.heatmaps.plans[p].arms[a]), category: (e) => [e.c], kind: (e) => [e.k], seed: (e) => [String(e.e)], chosen: (e) => e.w };
function choices() {
  for (const [name, values] of Object.entries(VALUES)) {
    const select = controls.elements[name], before = select.value;
    const found = new Set(study.heatmaps.entries.filter((e) => fits(e, name)).flatMap(values));
    if (before) found.add(before);
    select.replaceChildren(new Option("all", ""), ...[...found].map((value) => new Option(value, value)));
    select.value = before;
  }
}
function labels(entry) {
  const plans = study.heatmaps.plans;
  const wanted = entry.u.filter(([p, a]) => (!read("plan") || plans[p].title === read("plan")) && (!read("arm") || plans[p].arms[a] === read("arm")));
  return [...new Set(wanted.map(([p, a]) => plans[p].arms[a]))].join(" = ");
}
function tile(entry, low, high) {
  const map = entry.m[read("branch")], mode = read("mode");
  const stack = make("div", { class: "stack" }, make("img", { src: entry.t, alt: "", loading: "lazy" }));
  if (mode === "map") {
    if (map) {
      const canvas = make("canvas", { role: "img", "aria-label": "anomaly map", style: "opacity:" + read("strength") / 100 });
      drawMap(canvas, map, ...(read("range") === "own" ? [map[2], map[3]] : [low, high]));
      stack.append(canvas);
    } else stack.append(make("span", { class: "off-branch" }, "branch off"));
  }
  if (mode === "truth") stack.append(make("img", { src: entry.g, alt: "ground truth", loading: "lazy" }));
  const range = map ? "map " + map[2].toFixed(2) + " to " + map[3].toFixed(2) : "";
  return make("figure", { class: "tile" }, stack, make("figcaption", {}, make("b", {}, entry.c), " " + entry.n.replace(/^test\//, ""), make("br"), labels(entry), make("br"), (entry.a === null ? "" : "AUROC " + (100 * entry.a).toFixed(1) + ", ") + entry.s + "-shot, seed " + entry.e, make("br"), range));
}
function draw() {
  const pages = Math.max(1, Math.ceil(shown.length / PAGE));
  page = Math.min(Math.max(0, page), pages - 1);
  const here = shown.slice(page * PAGE, (page + 1) * PAGE), maps = here.map((e) => e.m[read("branch")]).filter(Boolean);
  const low = Math.min(...maps.map((m) => m[2])), high = Math.max(...maps.map((m) => m[3]));
  $("gallery").replaceChildren(...here.map((entry) => tile(entry, low, high)));
  $("found").textContent = shown.length + " of " + study.heatmaps.entries.length + " maps";
  $("where").textContent = "page " + (page + 1) + " of " + pages;
  $("before").disabled = page === 0; $("after").disabled = page === pages - 1;
}
function filter() {
  choices();
  shown = study.heatmaps.entries.filter((entry) => fits(entry, null));
  const name = (e) => e.c + "/" + e.n, text = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  const order = { image: (a, b) => text(name(a), name(b)) || a.e - b.e, best: (a, b) => b.a - a.a || text(name(a), name(b)), worst: (a, b) => a.a - b.a || text(name(a), name(b)) }[read("order")];
  shown.sort(order); page = 0; draw();
}
if (controls) {
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("input", (event) => {
    if (!study.heatmaps) return;
    if (event.target.name === "strength") for (const canvas of $("gallery").querySelectorAll("canvas")) canvas.style.opacity = read("strength") / 100;
    else if (["mode", "branch", "range"].includes(event.target.name)) draw(); else filter();
  });
  $("before").addEventListener("click", () => { page--; draw(); });
  $("after").addEventListener("click", () => { page++; draw(); });
  new IntersectionObserver((seen, observer) => {
    if (!seen.some((s) => s.isIntersecting)) return;
    observer.disconnect();
    load("data/heatmaps.js").then(filter).catch(() => { $("found").textContent = "data/heatmaps.js is not beside this page: copy the whole report folder."; });
  }, { rootMargin: "600px" }).observe($("heatmaps"));
}

// ---- keys
const sections = [...document.querySelectorAll("main > section")];
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("behind").open) return;
  if (event.target.closest("select, textarea") || (event.target.matches("input") && event.target.type !== "radio")) return;
  if (event.key === "j" || event.key === "k") {
    const next = event.key === "j" ? sections.find((s) => s.getBoundingClientRect().top > 40) : sections.findLast((s) => s.getBoundingClientRect().top < -10);
    if (next) location.hash = "#" + encodeURIComponent(next.id); else if (event.key === "k") location.hash = "#top";
  }
  if (!controls || !study.heatmaps) return;
  const mode = { 1: "image", 2: "truth", 3: "map" }[event.key];
  if (mode) { controls.elements.mode.value = mode; draw(); }
  if (event.key === "[" && !$("before").disabled) { page--; draw(); }
  if (event.key === "]" && !$("after").disabled) { page++; draw(); }
});
if (matchMedia("(max-width:900px)").matches) document.querySelector("details.menu").open = false;
addEventListener("beforeprint", () => document.querySelectorAll("main details").forEach((d) => { d.open = true; }));
route();
