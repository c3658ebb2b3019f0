// What things are called, and how times and numbers read. Pure: no page is needed.
const TONES = {
  ok: ["loaded", "ready", "healthy", "ok"],
  idle: ["discovered", "created", "unknown"],
  off: ["disabled", "removed", "disconnected"],
  busy: ["connecting", "syncing", "reconnecting", "draining"],
  warn: ["degraded", "stale", "blocked", "refused"],
  bad: ["failed", "timed_out", "broken", "quarantined", "conflict", "unhealthy"],
};
const TONE_OF = new Map(Object.entries(TONES).flatMap(([tone, words]) => words.map((word) => [word, tone])));
const NUMBER = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const PERCENT = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 2, signDisplay: "always" });

/** How good or bad it is: ok, idle, off, busy, warn or bad. */
export const toneOf = (word) => TONE_OF.get(word) ?? "idle";

// What reorders or hides the text around it, and what has no look of its own; line ends and tabs stay.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** *text* with everything in it to be seen, as a terminal shows it. */
export const plainly = (text) =>
  String(text).replace(UNSEEN, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);

export const wordOf = (code) => String(code).replaceAll("_", " ");

export const money = (value) => NUMBER.format(value);

export const change = (first, last) => (first > 0 ? PERCENT.format(last / first - 1) : "");

export const count = (number, one, many = `${one}s`) =>
  `${number === 0 ? "no" : number.toLocaleString("en")} ${number === 1 ? one : many}`;

/** How long ago it was, at *now* (both milliseconds). */
export function age(at, now) {
  const seconds = Math.max(0, Math.round((now - at) / 1000));
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

export function clock(iso) {
  const time = new Date(iso);
  return Number.isNaN(time.getTime()) ? "" : time.toTimeString().slice(0, 8);
}

/** A load time, in the unit in which it reads best. */
export const duration = (seconds) => (seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`);

/** The error of *row* in two: what stands beside it anyway (module, plugin, distribution), and what it says. */
export function errorInTwo(row) {
  const { text } = row.last_error;
  const name = text.match(/^(?:\w+\.)+(?=\w+:)|^/)[0];
  const who = `: ${row.id} from ${row.distribution} ${row.version}: `;
  const place = text.indexOf(who);
  const length = place > 0 && !text.slice(0, place).includes(" ") ? place + who.length : name.length;
  return [text.slice(0, length), text.slice(length)];
}

const REPEATED = new Set(["thread_id", "run_id", "threadId", "runId"]);
const isId = (name) => /(_id|Id)$/.test(name);

/** What an event brings, on one line. */
export function inShort(payload, longest = 240) {
  if (payload === null || typeof payload !== "object") return cut(String(payload ?? ""), longest);
  const told = Object.entries(payload).filter(([name]) => !REPEATED.has(name));
  told.sort(([one], [other]) => isId(one) - isId(other));
  const parts = told.map(([name, value]) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return `${name} ${isId(name) && text.length > 16 ? `${text.slice(0, 16)}…` : text}`;
  });
  return cut(parts.join(" · "), longest);
}

const cut = (text, longest) => (text.length > longest ? `${text.slice(0, longest)}…` : text);

/** What a row is called where it cannot be confused: its kind and key. */
export function searched(row) {
  const words = [row.id, row.type, row.status, row.health, row.distribution, row.version, row.reason, row.last_error?.text];
  return [...words, ...(row.tags ?? [])].filter(Boolean).join("\n").toLowerCase();
}

/** What came of an action, for people. */
export function outcomeOf(verb, what, answer) {
  const done = { reload: "Reloaded", disable: "Disabled", enable: "Enabled", halt: "Halted", resume: "Resumed" }[verb];
  if (answer.outcome === "done") {
    const parts = [`${done} ${what}.`];
    if (verb === "reload") parts.push(cameOf(answer));
    if (verb === "halt") parts.push(answer.orders ? `${count(answer.orders, "open order")} cancelled.` : "No order was open.");
    if (answer.keep) parts.push(sentence(answer.keep));
    if (answer.journalled === false) parts.push("It could not be journalled.");
    return parts.filter(Boolean).join(" ");
  }
  const why = answer.error ?? (answer.errors?.length ? answer.errors.join("; ") : "");
  const failed = answer.failed?.length ? `failed: ${answer.failed.join(", ")}` : "";
  return `Could not ${verb} ${what}: ${sentence(why || failed || "the server did not say why")}`;
}

function cameOf(answer) {
  const parts = ["added", "changed", "removed"].filter((part) => answer[part]?.length);
  return parts.length ? sentence(parts.map((part) => `${part}: ${answer[part].join(", ")}`).join("; ")) : "Nothing differs.";
}

function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(whole) ? whole : `${whole}.`;
}
