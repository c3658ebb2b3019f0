// All that is known of one plugin, beside the table.
import { usageOf } from "./board.js";
import { make, newAge, newButton, newMark, place, setText } from "./dom.js";
import { newSparkline, sparkline } from "./icons.js";
import { duration } from "./words.js";

const VERBS = { reload: "Reload", disable: "Disable", enable: "Enable" };

export class Drawer {
  #id = null;
  #shown = "";

  constructor(page, board) {
    this.page = page;
    this.board = board;
    this.dialog = place("drawer");
    this.dialog.querySelector(".close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
    this.dialog.addEventListener("close", () => { this.#id = null; });
  }

  open(id) {
    if (!this.board.rows.has(id)) return;
    this.#id = id;
    this.#shown = "";
    this.show();
    if (!this.dialog.open) this.dialog.showModal();
  }

  /** Be what the row is now; closed where it is gone. */
  show() {
    if (this.#id === null) return;
    const row = this.board.rows.get(this.#id);
    if (!row) return this.dialog.close();
    const facts = JSON.stringify([row, this.page.mayAct, this.board.usage.get(row.id)]);
    if (facts === this.#shown) return;
    this.#shown = facts;
    setText(place("drawer-title"), row.id);
    const inside = this.dialog.querySelector(".inside");
    const focused = [...inside.querySelectorAll("button")].indexOf(document.activeElement);
    inside.replaceChildren(...this.#parts(row));
    if (focused >= 0) (inside.querySelectorAll("button")[focused] ?? this.dialog.querySelector(".close")).focus();
  }

  #parts(row) {
    const parts = [make("p", { className: "marks" }, newMark(row.status), newMark(row.health))];
    if (row.reason || row.remedy) {
      const reason = make("p", { className: "what", textContent: row.reason || "see the error" });
      const remedy = row.remedy ? make("p", {}, make("b", { textContent: "What helps: " }), row.remedy) : null;
      parts.push(make("div", { className: "advice" }, reason, remedy));
    }
    if (row.last_error) {
      const { text, at } = row.last_error;
      parts.push(make("h3", { textContent: "Last error" }), make("p", { className: "trace", textContent: text }));
      parts.push(make("p", { className: "quiet-text" }, newAge(at)));
    }
    const facts = this.#facts(row).map(([name, value]) => [make("dt", { textContent: name }), make("dd", {}, value)]);
    parts.push(make("dl", {}, ...facts.flat()));
    if (usageOf(row) !== null) parts.push(make("h3", { textContent: "Rate limit used, lately" }), this.#usage(row));
    parts.push(make("div", { className: "buttons" }, ...this.#buttons(row)));
    return parts;
  }

  #facts(row) {
    const isOwn = row.source === "application";
    return [
      ["Kind", row.kind],
      ["Type", row.type],
      ["Distribution", isOwn ? "none: the application's own" : `${row.distribution} ${row.version}`],
      ["Source", row.editable ? `${row.source}, editable` : row.source],
      ["Plugin's state", row.state.replaceAll("_", " ")],
      ["Generation", isOwn ? null : String(row.generation)],
      ["Load time", typeof row.load_seconds === "number" ? duration(row.load_seconds) : null],
      ["Status since", row.since ? newAge(row.since) : null],
      ["Tags", row.tags?.length ? row.tags.join(", ") : null],
    ].filter(([, value]) => value);
  }

  #usage(row) {
    const svg = newSparkline();
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `Rate limit used: ${Math.round(row.rate_limit * 100)} % now`);
    sparkline(svg, this.board.usage.get(row.id) ?? [], 0, 1);
    return svg;
  }

  #buttons(row) {
    if (!this.page.mayAct) return [];
    const buttons = row.can.map((verb) => {
      const name = `${VERBS[verb]} ${row.id} from here`;
      return newButton(verb, VERBS[verb], name, () => this.page.ask(verb, row));
    });
    if (row.kind !== "brokers") return buttons;
    const halt = () => this.page.halt(row.key);
    return [...buttons, newButton("halt", "Halt trading", `Halt trading at ${row.id}`, halt, { className: "danger" })];
  }
}
