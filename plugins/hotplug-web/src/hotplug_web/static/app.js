// The page: what comes from the line goes into the board, and once a frame from there onto the screen.
import { Board } from "./board.js";
import { make, place, setMark, setText, tick } from "./dom.js";
import { Drawer } from "./drawer.js";
import { decorate, redraw } from "./icons.js";
import { Line } from "./line.js";
import { showHalts, showHost, showKinds, showRuns, showSummary, showTroubles } from "./panels.js";
import { newEvents, newLog } from "./streams.js";
import { Table } from "./table.js";
import { Verbs } from "./verbs.js";
import { plainly } from "./words.js";

const SAMPLE = 1000; // milliseconds between two points of a rate limit's curve
const TICK = 5000;
const STATES = { live: ["live", "ok"], connecting: ["reconnecting", "busy"], offline: ["offline", "bad"] };
const THEMES = ["auto", "light", "dark"];

class Page {
  mayAct = false;
  #mayRead = false;
  #kind = "";
  #dirty = new Set();
  #gone = new Set();
  #drawing = 0;
  #isFiltered = false;
  #hasBoard = false;

  constructor() {
    this.board = new Board();
    this.line = new Line(this);
    this.table = new Table(this, this.board);
    this.drawer = new Drawer(this, this.board);
    this.verbs = new Verbs(this.line, this.board, this.table);
    this.log = newLog();
    this.events = newEvents();
  }

  // -- asked by the table and the drawer

  ask(verb, row) {
    return this.verbs.ask(verb, row);
  }

  open(id) {
    this.drawer.open(id);
  }

  halt(key) {
    return this.verbs.halt(key);
  }

  // -- told by the line

  state(word, why = "") {
    const [name, tone] = STATES[word];
    const mark = place("connection");
    mark.dataset.state = word;
    mark.title = plainly(why);
    setMark(mark, word === "connecting" && !this.#hasBoard ? "connecting" : name, tone);
    document.body.dataset.connection = word;
  }

  welcome(who) {
    const scopes = new Set(who.scopes);
    this.mayAct = scopes.has("admin");
    this.#mayRead = this.mayAct || scopes.has("read");
    place("login").hidden = true;
    place("streams").hidden = false;
    for (const id of ["board", "log-panel", "health"]) place(id).hidden = !this.#mayRead;
    place("logout").hidden = false;
    place("halt").hidden = !this.mayAct;
    setText(place("user"), `${who.user} · ${this.mayAct ? "admin" : this.#mayRead ? "reads only" : "own events only"}`);
    for (const id of this.table.allow(this.mayAct)) this.#dirty.add(id);
    if (this.user !== who.user) this.events.clear();
    this.user = who.user;
  }

  unknown(why) {
    const login = place("login");
    login.hidden = false;
    for (const id of ["board", "streams", "logout", "health"]) place(id).hidden = true;
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
    setText(place("user"), "");
    setText(place("login-error"), why);
    this.#forget();
    place("token").focus();
    setMark(place("connection"), "logged out", "idle");
  }

  frame(frame) {
    if (frame.cursor !== undefined) {
      this.events.push(frame);
    } else if (frame.type === "hello") {
      if (this.#mayRead) this.line.send({ type: "watch" });
    } else if (frame.type === "board" || frame.type === "board.delta") {
      this.#news(frame);
    } else return;
    this.#soon();
  }

  #news(frame) {
    const told = this.board.take(frame);
    if (told === null) {
      this.line.send({ type: "unwatch" });
      this.line.send({ type: "watch" });
      return;
    }
    for (const id of told.gone) {
      this.#gone.add(id);
      this.#dirty.delete(id);
    }
    for (const id of told.changed) this.#dirty.add(id);
    if (told.isWhole) this.log.clear();
    for (const line of told.log) this.log.push(line);
    this.#hasBoard = true;
    this.#isFiltered = false;
    this.hasNews = true;
  }

  /** Nothing of what one user saw is there for the next. */
  #forget() {
    this.table.patch([], [...this.board.rows.keys()]);
    Object.assign(this.board, new Board());
    this.#dirty.clear();
    this.#gone.clear();
    this.log.clear();
    this.events.clear();
    this.user = undefined;
    this.#hasBoard = false;
    this.#drawPanels();
  }

  // -- onto the screen

  #soon() {
    this.#drawing ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#drawing = 0;
    this.table.begin();
    // What went and came again within a frame is new: those that are gone go first.
    this.#dirty = new Set(this.table.patch([...this.#dirty], [...this.#gone]));
    this.#gone.clear();
    const isLeft = this.table.build() || this.#dirty.size > 0;
    this.log.show();
    this.events.show();
    if (this.hasNews) this.#drawPanels();
    this.drawer.show();
    if (isLeft) this.#soon();
    else if (!this.#isFiltered) this.filter();
  }

  #drawPanels() {
    this.hasNews = false;
    const { board } = this;
    const troubles = board.troubles();
    showHost(board.host);
    showSummary(board, troubles, true);
    showTroubles(troubles, (id) => this.open(id));
    showHalts(board.halts, this.mayAct, (halt) => this.verbs.resume(halt));
    showRuns(board.runs);
    showKinds(board.kinds(), this.#kind, troubles.filter((each) => each.id).length, (kind) => this.choose(kind));
    this.verbs.news();
  }

  choose(kind) {
    this.#kind = kind;
    this.filter();
    this.hasNews = true;
    this.#soon();
  }

  filter() {
    this.#isFiltered = true;
    const text = place("filter").value;
    const shown = this.table.filter(text, this.#kind);
    const none = place("none");
    none.hidden = shown > 0 || !this.#hasBoard || this.table.count > 0 && !text && !this.#kind;
    if (!none.hidden) none.replaceChildren(...(this.table.count ? this.#noneFits(text) : nothingYet()));
  }

  #noneFits(text) {
    const clear = () => {
      place("filter").value = "";
      this.choose("");
      place("filter").focus();
    };
    const why = text ? `Nothing here has “${text}” in it.` : "Nothing is left of that kind.";
    return [make("p", {}, why), make("button", { type: "button", onclick: clear }, "Show everything")];
  }

  sample() {
    if (document.hidden || !this.#hasBoard) return;
    this.table.draw(this.board.sample());
    this.drawer.show();
  }
}

function nothingYet() {
  return [
    make("p", {}, "Nothing is installed yet."),
    make("p", {}, "Install a plugin, and it stands here by itself: ", make("code", {}, "pip install hotplug-broker-paper")),
    make("p", {}, "Or begin one of your own: ", make("code", {}, "hotplug new broker my-broker")),
  ];
}

/** The token that a link brings; it stays neither in the address nor in the history. */
function tokenOfLink() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token !== null) history.replaceState(null, "", location.pathname + location.search);
  return token;
}

function theme(name) {
  const button = place("theme");
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  redraw(button.querySelector(".icon"), name);
  button.setAttribute("aria-label", `Theme: ${name === "auto" ? "as the system" : name}`);
  button.title = button.getAttribute("aria-label");
  button.dataset.theme = name;
}

const kept = {
  get() {
    try { return localStorage.getItem("hotplug.theme"); } catch { return null; }
  },
  set(name) {
    try { localStorage.setItem("hotplug.theme", name); } catch { /* then it holds until the page is closed */ }
  },
};

function listen(page) {
  place("login").addEventListener("submit", (event) => {
    event.preventDefault();
    const token = place("token").value.trim();
    place("token").value = "";
    setText(place("login-error"), "");
    page.line.enter(token);
  });
  place("logout").addEventListener("click", () => page.line.leave());
  place("halt").addEventListener("click", () => page.halt());
  place("filter").addEventListener("input", () => page.filter());
  place("theme").addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(place("theme").dataset.theme) + 1) % THEMES.length];
    theme(next);
    kept.set(next);
  });
  addEventListener("keydown", (event) => keyed(page, event));
  addEventListener("hashchange", () => {
    const token = tokenOfLink();
    if (token !== null) page.line.enter(token);
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) page.line.hurry(); });
}

function keyed(page, event) {
  const isTyping = event.target.matches("input, select, textarea");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    place("filter").focus();
    place("filter").select();
  } else if (event.key === "Escape" && event.target === place("filter")) {
    place("filter").value = "";
    page.filter();
  }
}

decorate(document);
theme(THEMES.includes(kept.get()) ? kept.get() : "auto");
const page = new Page();
listen(page);
setInterval(() => page.sample(), SAMPLE);
setInterval(() => tick(), TICK);
page.line.enter(tokenOfLink());
