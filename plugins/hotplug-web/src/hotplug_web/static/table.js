// The table: rows are built once, afterwards only cells that differ are touched, a few milliseconds' worth each frame.
import { compare, troubleOf, usageOf } from "./board.js";
import { make, newAge, newButton, place, setMark, setText } from "./dom.js";
import { decorate, newSparkline, sparkline } from "./icons.js";
import { errorInTwo, plainly, searched, toneOf } from "./words.js";

const LEAST = 10; // milliseconds of a frame that rows may take; half of it, where frames take long anyway
const MOST = 80;
const PLAIN = ["kind", "type", "version", "generation", "distribution"];
const VERBS = { reload: "Reload", disable: "Disable", enable: "Enable" };

class Row {
  seen = {};
  words = "";

  constructor(template, row, table) {
    this.row = row;
    this.element = template.cloneNode(true);
    this.element.dataset.id = row.id;
    this.cells = Object.fromEntries([...this.element.children].map((cell) => [cell.dataset.field, cell]));
    this.table = table;
    setText(this.cells.key.firstChild, row.key);
    this.show(row, true);
  }

  /** Whether *value* is another than the *name* shown until now. */
  differs(name, value) {
    if (this.seen[name] === value) return false;
    this.seen[name] = value;
    return true;
  }

  show(row, mayAct) {
    this.row = row;
    this.words = searched(row);
    for (const name of PLAIN) if (this.differs(name, row[name])) this.plain(name, row);
    for (const name of ["status", "health"]) {
      if (this.differs(name, row[name])) setMark(this.cells[name].firstChild, row[name]);
    }
    const tone = troubleOf(row) ?? toneOf(row.status);
    if (this.differs("tone", tone)) this.element.dataset.tone = tone;
    if (this.differs("rate_limit", usageOf(row))) this.gauge(row);
    if (this.differs("last_error", row.last_error ? `${row.last_error.at} ${row.last_error.text}` : "")) this.error(row);
    const can = mayAct ? row.can.join() : "";
    if (this.differs("can", can)) this.buttons(row, can ? row.can : []);
  }

  plain(name, row) {
    const cell = this.cells[name];
    const value = name === "generation" && row.source === "application" ? "" : String(row[name] ?? "");
    setText(cell, value);
    if (name === "distribution" || name === "type") cell.title = plainly(value);
    if (name === "distribution") cell.dataset.empty = value ? "" : "the application's own";
  }

  gauge(row) {
    const cell = this.cells.rate_limit;
    if (usageOf(row) === null) {
      cell.replaceChildren();
      this.curve = null;
      return;
    }
    if (!cell.firstChild) {
      const range = { role: "meter", "aria-valuemin": "0", "aria-valuemax": "100" };
      const facts = { className: "meter", "aria-label": `Rate limit used by ${row.id}`, ...range };
      const meter = make("span", facts, make("span", { className: "fill" }));
      this.curve = newSparkline();
      this.curve.setAttribute("aria-hidden", "true");
      cell.append(meter, make("span", { className: "number" }), this.curve);
    }
    const [meter, number] = cell.children;
    const used = Math.round(row.rate_limit * 100);
    meter.setAttribute("aria-valuenow", String(used));
    meter.setAttribute("aria-valuetext", `${used} %`);
    meter.dataset.tone = used >= 90 ? "bad" : used >= 70 ? "warn" : "ok";
    meter.firstChild.style.setProperty("transform", `scaleX(${Math.min(row.rate_limit, 1)})`);
    setText(number, `${used} %`);
  }

  draw(series) {
    if (this.curve) sparkline(this.curve, series, 0, 1);
  }

  error(row) {
    const cell = this.cells.last_error;
    if (!row.last_error) return cell.replaceChildren();
    const [who, what] = errorInTwo(row);
    const unseen = who && make("span", { className: "unseen", textContent: who });
    const text = make("span", { className: "text", title: row.last_error.text }, unseen, what);
    cell.replaceChildren(text, " ", newAge(row.last_error.at));
  }

  buttons(row, can) {
    const kept = [...this.cells.actions.children];
    const hasFocus = kept.find((button) => button === document.activeElement);
    const buttons = can.map((verb) => {
      const ask = () => this.table.page.ask(verb, this.row);
      return newButton(verb, VERBS[verb], `${VERBS[verb]} ${row.id}`, ask, { title: VERBS[verb], "data-verb": verb });
    });
    this.cells.actions.replaceChildren(...buttons);
    if (hasFocus) buttons[Math.min(kept.indexOf(hasFocus), buttons.length - 1)]?.focus();
  }
}

/** Do *work* for as many of *items* as there is time until *until*; how many. */
function spend(items, until, work) {
  let done = 0;
  while (done < items.length && (done % 8 || performance.now() < until)) work(items[done++]);
  return done;
}

export class Table {
  #lines = new Map();
  #placed = [];
  #waiting = [];
  #text = "";
  #kind = "";
  #mayAct = false;
  #began = 0;
  #until = 0;

  /** *page* is asked: `ask(verb, row)`, `open(row)`. */
  constructor(page, board) {
    this.page = page;
    this.board = board;
    this.body = place("rows");
    const template = place("row").content;
    decorate(template);
    this.template = template.firstElementChild;
    for (const node of [...this.template.childNodes]) if (node.nodeType !== Node.ELEMENT_NODE) node.remove();
    const names = document.querySelectorAll("#plugins th");
    for (const cell of this.template.children) {
      const name = [...names].find((each) => each.dataset.column === cell.dataset.field);
      cell.dataset.label = name.querySelector("abbr")?.title ?? name.textContent;
    }
    this.body.addEventListener("click", (event) => this.#clicked(event));
  }

  /** Let there be buttons or not; the rows that are to be shown anew. */
  allow(mayAct) {
    if (mayAct === this.#mayAct) return [];
    this.#mayAct = mayAct;
    place("plugins").classList.toggle("reading", !mayAct);
    return this.#lines.keys();
  }

  /** A frame begins. */
  begin(now = performance.now()) {
    this.#until = now + Math.min(Math.max((now - this.#began) / 2, LEAST), MOST);
    this.#began = now;
  }

  /** Take those out that are *gone*, and show some of the rows *ids* as they are now; those that are left. */
  patch(ids, gone = []) {
    if (gone.length) this.#drop(new Set(gone));
    const fresh = [];
    const shown = spend(ids, this.#until, (id) => {
      const row = this.board.rows.get(id);
      const line = this.#lines.get(id);
      if (!row) return;
      if (!line) return void fresh.push(row);
      line.show(row, this.#mayAct);
      this.#hide(line);
    });
    if (fresh.length) this.#waiting = [...this.#waiting, ...fresh].sort(compare);
    return ids.slice(shown);
  }

  /** Build some of the rows that wait; whether any are left. */
  build() {
    this.#waiting.splice(0, spend(this.#waiting, this.#until, (row) => this.#add(row)));
    return this.#waiting.length > 0;
  }

  /** Show only what *text* and *kind* (or `!` for what needs attention) let through; how many rows. */
  filter(text, kind) {
    this.#text = text.trim().toLowerCase();
    this.#kind = kind;
    let shown = 0;
    for (const line of this.#lines.values()) shown += this.#hide(line) ? 0 : 1;
    return shown;
  }

  draw(ids) {
    for (const id of ids) this.#lines.get(id)?.draw(this.board.usage.get(id));
  }

  busy(id, verb, isBusy) {
    const button = this.#lines.get(id)?.cells.actions.querySelector(`[data-verb=${verb}]`);
    button?.toggleAttribute("data-busy", isBusy);
  }

  get count() {
    return this.#lines.size + this.#waiting.length;
  }

  #add(waiting) {
    const row = this.board.rows.get(waiting.id);
    if (!row || this.#lines.has(waiting.id)) return;
    const line = new Row(this.template, row, this);
    line.show(row, this.#mayAct);
    this.#lines.set(row.id, line);
    const index = this.#indexOf(row);
    this.body.insertBefore(line.element, this.#placed[index]?.element ?? null);
    this.#placed.splice(index, 0, line);
    this.#hide(line);
  }

  #drop(gone) {
    this.#waiting = this.#waiting.filter((row) => !gone.has(row.id));
    this.#placed = this.#placed.filter((line) => !gone.has(line.row.id));
    for (const id of gone) {
      this.#lines.get(id)?.element.remove();
      this.#lines.delete(id);
    }
  }

  #indexOf(row) {
    let low = 0, high = this.#placed.length;
    if (high && compare(this.#placed[high - 1].row, row) < 0) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compare(this.#placed[middle].row, row) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #hide(line) {
    const isOfKind = !this.#kind || (this.#kind === "!" ? troubleOf(line.row) !== null : line.row.kind === this.#kind);
    const isHidden = !(isOfKind && line.words.includes(this.#text));
    if (line.element.hidden !== isHidden) line.element.hidden = isHidden;
    return isHidden;
  }

  #clicked(event) {
    const element = event.target.closest("tr");
    const button = event.target.closest("button");
    const isSelecting = !button && String(getSelection()) !== "";
    if (element && !isSelecting && (!button || button.classList.contains("open"))) this.page.open(element.dataset.id);
  }
}
