// Everything around the table: how the whole is, what needs attention, what is halted, what plays.
import { make, newAge, newButton, place, setMark, setText } from "./dom.js";
import { icon, newSparkline, sparkline } from "./icons.js";
import { change, count, money, plainly, toneOf } from "./words.js";

export function showHost(host) {
  setMark(place("health"), host.health, toneOf(host.health));
  place("health").title = plainly(host.issues.join("\n"));
}

export function showSummary(board, troubles, isLive) {
  const parts = [
    count(board.rows.size, "plugin"),
    count(troubles.length, "problem"),
    count(board.runs.length, "strategy plays", "strategies play"),
    board.halts.length ? "trading is halted" : "nothing is halted",
  ];
  setText(place("summary"), parts.join(" · "));
  document.title = isLive && troubles.length ? `(${troubles.length}) hotplug` : "hotplug";
}

const MOST = 100;

export function showTroubles(troubles, open) {
  place("problems-panel").hidden = troubles.length === 0;
  const lines = troubles.slice(0, MOST).map((each) => {
    const facts = { type: "button", className: "open", "aria-haspopup": "dialog", onclick: () => open(each.id) };
    const name = each.id ? make("button", facts, each.title) : make("b", {}, each.title);
    const text = make("span", { className: "what", textContent: each.text });
    const remedy = make("span", { className: "remedy", textContent: each.remedy });
    return make("li", { "data-tone": each.tone }, icon(each.tone), name, text, remedy);
  });
  const more = troubles.length - MOST;
  if (more > 0) lines.push(make("li", { "data-tone": "warn" }, icon("warn"), make("b", {}, `and ${more} more`)));
  replace(place("problems"), lines, JSON.stringify([troubles.slice(0, MOST), troubles.length]));
}

export function showHalts(halts, mayAct, resume) {
  place("halts-panel").hidden = halts.length === 0;
  const lines = halts.map((halt) => {
    const where = whereOf(halt);
    const button = mayAct ? newButton("resume", "Resume", `Resume ${where}`, () => resume(halt)) : null;
    const text = make("span", { className: "what", textContent: halt.reason });
    const since = make("span", { className: "remedy" }, newAge(halt.since));
    return make("li", { "data-tone": "bad" }, icon("halt"), make("b", {}, where), text, since, button);
  });
  replace(place("halts"), lines, JSON.stringify([halts, mayAct]));
}

/** Where and for whom a halt holds. */
export function whereOf(halt) {
  const where = halt.key ? `brokers/${halt.key}` : "every broker";
  return halt.user ? `${where} for ${halt.user}` : where;
}

const cards = new Map();

export function showRuns(runs) {
  place("no-runs").hidden = runs.length > 0;
  place("runs").hidden = runs.length === 0;
  const there = new Set(runs.map((run) => run.run_id));
  for (const [id, card] of cards) {
    if (there.has(id)) continue;
    card.element.remove();
    cards.delete(id);
  }
  for (const run of runs) {
    if (!cards.has(run.run_id)) {
      cards.set(run.run_id, newCard(run));
      place("runs").append(cards.get(run.run_id).element);
    }
    showCard(cards.get(run.run_id), run);
  }
}

function newCard(run) {
  const curve = newSparkline();
  curve.setAttribute("role", "img");
  const equity = make("span", { className: "equity" });
  const difference = make("span", { className: "change" });
  const name = make("h3", {});
  const user = make("span", { className: "user" });
  const facts = make("p", {}, user, newAge(run.since));
  const head = make("div", { className: "head" }, name, equity);
  const foot = make("div", { className: "foot" }, facts, difference);
  const element = make("li", { "data-run": run.run_id }, head, foot, curve);
  return { element, curve, equity, difference, name, user };
}

function showCard(card, run) {
  const { equity } = run;
  setText(card.name, run.strategy);
  setText(card.user, `${run.user ?? "nobody"} · began `);
  if (!equity.length) return setText(card.equity, "–");
  const [first, last] = [equity[0], equity.at(-1)];
  setText(card.equity, money(last));
  const differs = change(first, last);
  setText(card.difference, differs);
  card.element.dataset.tone = last > first ? "ok" : last < first ? "bad" : "idle";
  const low = Math.min(...equity), high = Math.max(...equity);
  const lately = `${money(last)}, ${differs} over ${count(equity.length, "bar")}`;
  card.curve.setAttribute("aria-label", `Equity of ${run.strategy}: ${lately}, from ${money(low)} to ${money(high)}`);
  sparkline(card.curve, equity, low, high);
}

/** The chips above the table. */
export function showKinds(kinds, chosen, attention, choose) {
  const all = kinds.reduce((sum, [, number]) => sum + number, 0);
  const choices = [["", "All", all], ...kinds.map(([kind, number]) => [kind, kind, number])];
  if (attention || chosen === "!") choices.push(["!", "attention", attention]);
  const chips = choices.map(([kind, word, number]) => {
    const isChosen = String(kind === chosen);
    const facts = { type: "button", "aria-pressed": isChosen, "data-kind": kind, onclick: () => choose(kind) };
    return make("button", facts, word, make("span", { className: "number" }, ` ${number}`));
  });
  replace(place("kinds"), chips, JSON.stringify([choices, chosen]));
}

/** Put *children* into *list* where *facts* differ, and leave the focus where it was. */
function replace(list, children, facts) {
  if (list.shown === facts) return;
  list.shown = facts;
  const index = [...list.querySelectorAll("button")].indexOf(document.activeElement);
  list.replaceChildren(...children);
  if (index < 0) return;
  const buttons = list.querySelectorAll("button");
  buttons[Math.min(index, buttons.length - 1)]?.focus();
}
