// What happens, newest on top: as many lines as fit a memory, paused and filtered at will.
import { make, place, setText } from "./dom.js";
import { clock, inShort, wordOf } from "./words.js";

const MOST = 300;
const LONGEST = 500; // characters of a line

export class Stream {
  #items = [];
  #fresh = [];
  #missed = 0;
  #isPaused = false;

  /** A list in *panel*; *draw* makes the line of an item, *facts* are its words for the filter. */
  constructor(panel, draw, words) {
    this.list = panel.querySelector("ol");
    this.empty = panel.querySelector(".empty");
    this.button = panel.querySelector(".pause");
    this.draw = draw;
    this.words = words;
    this.name = this.button.getAttribute("aria-label").replace("Pause ", "");
    this.button.addEventListener("click", () => this.#pause(!this.#isPaused));
    this.filter = panel.querySelector("input");
    this.filter.addEventListener("input", () => this.#sift());
    this.#sift();
  }

  clear() {
    this.#items = [];
    this.#fresh = [];
    this.#missed = 0;
    this.list.replaceChildren();
    this.#sift();
  }

  push(item) {
    this.#fresh.push(item);
    if (this.#fresh.length > 2 * MOST) this.#fresh = this.#fresh.slice(-MOST);
    this.#missed += 1;
  }

  /** Bring what came onto the page. */
  show() {
    if (!this.#fresh.length) return;
    if (this.#isPaused) return this.#label();
    const fresh = this.#fresh.slice(-MOST).map((item) => ({ line: this.draw(item), words: this.words(item).toLowerCase() }));
    this.#fresh = [];
    this.#missed = 0;
    const sought = this.filter.value.trim().toLowerCase();
    for (const each of fresh) each.line.hidden = !each.words.includes(sought);
    const isRead = this.list.scrollTop > 4;
    const before = this.list.scrollHeight;
    this.list.prepend(...fresh.map((each) => each.line).reverse());
    this.#items.push(...fresh);
    for (const old of this.#items.splice(0, Math.max(0, this.#items.length - MOST))) old.line.remove();
    // Who has scrolled down reads on where they are.
    if (isRead) this.list.scrollTop += this.list.scrollHeight - before;
    this.#tellEmpty();
  }

  #pause(isPaused) {
    this.#isPaused = isPaused;
    this.button.setAttribute("aria-pressed", String(isPaused));
    if (!isPaused) this.show();
    this.#missed = isPaused ? this.#fresh.length : 0;
    this.#label();
  }

  #label() {
    const word = this.#isPaused ? (this.#missed ? `Paused · ${this.#missed} new` : "Paused") : "Pause";
    setText(this.button.querySelector(".label"), word);
    this.button.setAttribute("aria-label", `${word} ${this.#isPaused ? "in " : ""}${this.name}`);
  }

  #sift() {
    const sought = this.filter.value.trim().toLowerCase();
    for (const { line, words } of this.#items) line.hidden = !words.includes(sought);
    this.#tellEmpty();
  }

  #tellEmpty() {
    this.list.hidden = this.#items.length === 0;
    this.empty.hidden = this.#items.length > 0;
  }
}

const LOG_TONES = {
  failed: "bad", misconfigured: "bad", problem: "bad", refused: "warn", pending: "warn", removed: "off",
  action: "act", loaded: "ok", reloaded: "ok", installed: "ok", updated: "ok", configured: "ok",
};
const EVENT_TONES = { RUN_ERROR: "bad", GAP: "warn", RUN_STARTED: "act", RUN_FINISHED: "ok" };

export const newLog = () => new Stream(
  place("log-panel"),
  (line) => make(
    "li",
    { "data-type": line.event, "data-tone": LOG_TONES[line.event] ?? "idle" },
    make("time", { dateTime: line.at, title: line.at, textContent: clock(line.at) }),
    make("span", { className: "type", textContent: wordOf(line.event) }),
    make("span", { className: "text", title: inShort(line.error || line.text, 2000) }, inShort(line.text, LONGEST)),
  ),
  (line) => `${line.event} ${line.text}`,
);

export const newEvents = () => new Stream(
  place("events-panel"),
  (event) => {
    const text = event.type === "GAP" ? gap(event.payload) : inShort(event.payload);
    return make(
      "li",
      { "data-type": event.type, "data-tone": EVENT_TONES[event.type] ?? "idle", "data-run": event.run_id },
      make("time", { dateTime: event.time, title: event.time, textContent: clock(event.time) }),
      make("span", { className: "type", textContent: event.type }),
      make("span", { className: "text", title: text, textContent: text }),
    );
  },
  (event) => `${event.type} ${event.run_id} ${event.thread_id} ${inShort(event.payload)}`,
);

function gap(payload) {
  const missed = payload?.missed;
  const lost = typeof missed === "number" ? `${missed} events are missing` : "events may be missing";
  return payload?.reason ? `${lost}: ${payload.reason}` : lost;
}
