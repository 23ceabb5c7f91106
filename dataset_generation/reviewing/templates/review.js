"use strict";
const $ = id => document.getElementById(id);
const data = JSON.parse($("data").textContent), items = data.items;
let decided = {}, order = [], at = 0, since = Date.now(), left = since, boxes = true;

const key = () => `clarifyvlm-review:${data.data_sha256.slice(0, 16)}:${$("name").value.trim()}`;
const tell = text => { $("told").textContent = text; };
const keep = value => { try { localStorage.setItem(key(), JSON.stringify(value)); } catch { tell("Not saved by this browser: export often."); } };
const kept = () => { try { return JSON.parse(localStorage.getItem(key()) || "{}"); } catch { return {}; } };

function say(parent, tag, text, name) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (name) element.className = name;
  element.dir = "auto";
  parent.append(element);
  return element;
}

function show() {
  const item = items[at], mine = decided[item.id];
  since = Date.now();
  $("picture").src = item.image;
  $("question").textContent = item.question;
  $("strategy").textContent = item.strategy;
  $("why").textContent = item.why;
  $("type").textContent = item.type;
  $("readings").replaceChildren();
  for (const reading of item.readings) {
    const line = say($("readings"), "li", "");
    say(line, "span", reading.expression + ": ");
    say(line, "b", reading.answer ?? "the picture does not show it");
  }
  if (!item.readings.length) say($("readings"), "p", "none: nothing in the picture fits", "dim");
  $("reference").replaceChildren();
  if (item.dialogue) item.dialogue.forEach((text, i) => say($("reference"), "p", (i === 1 ? "User: " : "") + text, i === 1 ? "user" : ""));
  else say($("reference"), "p", item.reference);
  draw(item);
  $("note").value = mine?.note ?? "";
  $("decision").textContent = !mine?.decision ? "" : mine.decision === "accept" ? "Accepted" : `Rejected: ${mine.reason}`;
  for (const button of document.querySelectorAll(".decide button"))
    button.classList.toggle("chosen", button.dataset.reason ? mine?.reason === button.dataset.reason : mine?.decision === "accept");
  const done = items.filter(i => decided[i.id]?.decision).length;
  $("progress").textContent = `${at + 1} of ${items.length}, ${done} decided` + (done === items.length ? ": export with e" : "");
}

function draw(item) {
  const svg = $("boxes"), make = tag => document.createElementNS("http://www.w3.org/2000/svg", tag);
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${item.width} ${item.height}`);
  svg.style.display = boxes ? "" : "none";
  item.readings.forEach((reading, number) => {
    for (const [x0, y0, x1, y1] of reading.boxes) {
      for (const name of ["back", ""]) {
        const rect = make("rect");
        for (const [k, v] of Object.entries({ x: x0, y: y0, width: x1 - x0, height: y1 - y0 })) rect.setAttribute(k, v);
        rect.setAttribute("class", name);
        svg.append(rect);
      }
      const text = make("text"), size = item.height / 16;
      text.setAttribute("x", x0 + size / 6);
      text.setAttribute("y", y0 + size);
      text.setAttribute("font-size", size);
      text.setAttribute("stroke-width", size / 6);
      text.textContent = number + 1;
      svg.append(text);
    }
  });
}

function decide(decision, reason = null) {
  const id = items[at].id, before = decided[id], spent = (before?.seconds ?? 0) + (Date.now() - since) / 1000;
  decided[id] = { decision, reason, note: $("note").value, seconds: Math.round(10 * spent) / 10 };
  order.push({ id, before });
  keep(decided);
  if (at < items.length - 1) at += 1;
  show();
}

function undo() {
  if (!order.length) return;
  const { id, before } = order.pop();
  if (before) decided[id] = before;
  else delete decided[id];
  keep(decided);
  at = items.findIndex(item => item.id === id);
  show();
}

function move(step) {
  at = Math.min(items.length - 1, Math.max(0, at + step));
  show();
}

function lines() {
  const about = { annotator: $("name").value.trim(), data_sha256: data.data_sha256 };
  return items.filter(i => decided[i.id]?.decision).map(i => JSON.stringify({ id: i.id, ...about, ...decided[i.id] }) + "\n").join("");
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines()], { type: "application/jsonl" }));
  link.download = `review-${$("name").value.trim() || "unnamed"}.jsonl`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function load(text) {
  const known = new Set(items.map(i => i.id)), rows = text.split("\n").filter(l => l.trim()).map(l => JSON.parse(l));
  if (!rows.length) throw new Error("no decisions in it");
  if (rows.some(r => r.data_sha256 !== data.data_sha256)) throw new Error("an export of another data file");
  if (rows.some(r => !["accept", "reject"].includes(r.decision))) throw new Error("a decision that is neither accept nor reject");
  const name = $("name").value.trim() || rows[0].annotator, other = rows.find(r => r.annotator !== name);
  if (other) throw new Error(`decisions of ${other.annotator}, and you are ${name}`);
  $("name").value = name;
  const mine = rows.filter(r => known.has(r.id));
  decided = kept(); // what this browser has of the rest stays
  for (const { id, decision, reason, note, seconds } of mine) decided[id] = { decision, reason, note, seconds };
  keep(decided);
  begin();
  tell(`${mine.length} decisions imported` + (mine.length < rows.length ? `; ${rows.length - mine.length} are of examples that are not on this page` : ""));
}

function begin() { // once there is a name: whose decisions these are
  const named = Boolean($("name").value.trim());
  $("item").hidden = !named;
  $("progress").textContent = named ? "" : "Write your name to begin.";
  if (!named) return;
  decided = kept();
  order = items.filter(i => decided[i.id]?.decision).map(i => ({ id: i.id }));
  const first = items.findIndex(i => !decided[i.id]?.decision);
  at = first < 0 ? items.length - 1 : first;
  show();
}

for (const [digit, reason] of Object.entries(data.reasons)) {
  const button = say($("reasons"), "button", `${digit} ${reason}`);
  button.dataset.reason = reason;
  button.onclick = () => decide("reject", reason);
}
$("accept").onclick = () => decide("accept");
$("back").onclick = () => move(-1);
$("next").onclick = () => move(1);
$("undo").onclick = undo;
$("export").onclick = save;
$("toggle").onclick = () => { boxes = !boxes; draw(items[at]); };
$("name").onchange = begin;
$("note").onchange = () => { // before a decision, too
  decided[items[at].id] = { ...decided[items[at].id], note: $("note").value };
  keep(decided);
};
$("load").onclick = () => $("import").click();
$("import").onchange = async event => {
  try { load(await event.target.files[0].text()); } catch (error) { tell(`Not imported: ${error.message}`); }
  event.target.value = "";
};
addEventListener("visibilitychange", () => { // seconds in which the page is not in sight are not counted
  if (document.hidden) left = Date.now();
  else since += Date.now() - left;
});
addEventListener("keydown", event => {
  if (event.target.tagName === "INPUT") { if (["Enter", "Escape"].includes(event.key)) event.target.blur(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || $("item").hidden) return;
  if (event.repeat && !event.key.startsWith("Arrow")) return; // a key held down must not accept one after another
  const keys = { a: () => decide("accept"), n: () => $("note").focus(), u: undo, e: save, b: $("toggle").onclick, ArrowLeft: () => move(-1), ArrowRight: () => move(1) };
  const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key] ?? (data.reasons[event.key] && (() => decide("reject", data.reasons[event.key])));
  if (act) { event.preventDefault(); act(); }
});
begin();
