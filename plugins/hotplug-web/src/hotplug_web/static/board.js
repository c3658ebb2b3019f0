// The dashboard as data: frames of the server in, what differs out. Pure: no page is needed.
import { toneOf, wordOf } from "./words.js";

const KINDS = ["brokers", "agents", "tools", "strategies", "services", "hooks", "kinds", "commands"];
const SAMPLES = 60;

const rank = (kind) => (KINDS.indexOf(kind) + 1 || KINDS.length + 1);

/** The order of rows: kinds as they are told of, then keys. */
export function compare(one, other) {
  if (one.kind !== other.kind) return rank(one.kind) - rank(other.kind) || (one.kind < other.kind ? -1 : 1);
  return one.key < other.key ? -1 : one.key > other.key ? 1 : 0;
}

/** How badly somebody should look at it: "bad", "warn" or null. */
export function troubleOf(row) {
  const tones = [toneOf(row.status), toneOf(row.health)];
  if (tones.includes("bad")) return "bad";
  return tones.includes("warn") || (row.reason && row.state !== "disabled") ? "warn" : null;
}

/** How full its fullest rate limit is, 0 to 1; null where it has none, or is not there yet. */
export const usageOf = (row) => (row.state === "loaded" ? row.rate_limit ?? null : null);

export class Board {
  rows = new Map();
  problems = [];
  halts = [];
  runs = [];
  host = { health: "unknown", issues: [], plugins: 0 };
  serial = null;
  usage = new Map();

  /** What *frame* changes; null where one before it was lost, so that a whole board is needed. */
  take(frame) {
    const isWhole = frame.type === "board";
    if (!isWhole && frame.serial !== this.serial + 1) return null;
    this.serial = frame.serial;
    const gone = isWhole ? this.#missingIn(frame.rows) : frame.gone ?? [];
    for (const id of gone) {
      this.rows.delete(id);
      this.usage.delete(id);
    }
    for (const row of frame.rows) this.rows.set(row.id, row);
    const parts = ["problems", "halts", "runs", "host"].filter((part) => part in frame);
    for (const part of parts) this[part] = frame[part];
    return { changed: frame.rows.map((row) => row.id), gone, parts, log: frame.log ?? [], isWhole };
  }

  /** Note how full the rate limits are; the ids of those that have one. */
  sample() {
    const sampled = [];
    for (const row of this.rows.values()) {
      if (usageOf(row) === null) continue;
      const series = this.usage.get(row.id) ?? [];
      series.push(row.rate_limit);
      if (series.length > SAMPLES) series.shift();
      this.usage.set(row.id, series);
      sampled.push(row.id);
    }
    return sampled;
  }

  /** What is wrong, the environment's problems first: {id?, title, text, remedy, tone}. */
  troubles() {
    const found = this.problems.map((problem) => ({
      title: problem.distribution || "environment",
      text: problem.reason,
      remedy: problem.line ? `${problem.path}, line ${problem.line}` : problem.path,
      tone: "warn",
    }));
    for (const row of this.rows.values()) {
      const tone = troubleOf(row);
      if (tone === null) continue;
      const text = row.reason || wordOf(row.state === "loaded" ? `${row.status}, ${row.health}` : row.status);
      found.push({ id: row.id, title: row.id, text, remedy: row.remedy || row.last_error?.text || "", tone });
    }
    return found;
  }

  kinds() {
    const counts = new Map();
    for (const row of this.rows.values()) counts.set(row.kind, (counts.get(row.kind) ?? 0) + 1);
    return [...counts].sort(([one], [other]) => compare({ kind: one }, { kind: other }));
  }

  #missingIn(rows) {
    const there = new Set(rows.map((row) => row.id));
    return [...this.rows.keys()].filter((id) => !there.has(id));
  }
}
