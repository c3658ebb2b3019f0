// What an admin does: asked, done, and said how it went.
import { cancelField, confirm, reasonField, userField, whereField } from "./dialogs.js";
import { place, setText } from "./dom.js";
import { whereOf } from "./panels.js";
import { outcomeOf } from "./words.js";

const DOING = { reload: "Reloading", disable: "Disabling", enable: "Enabling", halt: "Halting", resume: "Resuming" };
const LOOK = 900; // milliseconds in which the board tells why something failed

export class Verbs {
  #busy = new Set();
  #waiting = [];

  constructor(line, board, table) {
    this.line = line;
    this.board = board;
    this.table = table;
    place("dismiss").addEventListener("click", () => this.say(""));
  }

  /** Reload, disable or enable *row*. */
  async ask(verb, row) {
    if (this.#busy.has(row.id)) return;
    const [what, title, text, facts] = this.#question(verb, row);
    if (!(await confirm(verb, title, text, [], verb !== "disable"))) return;
    await this.#do(verb, what, facts, row.id);
  }

  async halt(key = "") {
    const text = "Nobody can place an order there until somebody resumes it. It takes effect at once and is journalled.";
    const fields = [reasonField("what happened"), whereField(this.#brokers(), key), userField(), cancelField()];
    const given = await confirm("halt", "Halt trading?", text, fields);
    if (given) await this.#do("halt", whereOf(given), given);
  }

  async resume(halt) {
    const where = whereOf(halt);
    const text = `It was halted because: ${halt.reason}. Orders can be placed again at once; it is journalled.`;
    const given = await confirm("resume", `Resume trading at ${where}?`, text, [reasonField("why it is safe again")]);
    const facts = { reason: given?.reason, ...(halt.key && { key: halt.key }), ...(halt.user && { user: halt.user }) };
    if (given) await this.#do("resume", where, facts);
  }

  say(text, tone = "idle") {
    const outcome = place("outcome");
    place("dismiss").hidden = !text;
    outcome.parentElement.dataset.tone = tone;
    setText(outcome, text);
  }

  /** The board has news; who waited for it looks again. */
  news() {
    for (const look of this.#waiting.splice(0)) look();
  }

  async #do(verb, what, facts, id = "") {
    this.#busy.add(id);
    this.table.busy(id, verb, true);
    this.say(`${DOING[verb]} ${what} …`, "busy");
    const answer = await this.line.act(verb, facts);
    this.#busy.delete(id);
    this.table.busy(id, verb, false);
    const isDone = answer.outcome === "done";
    if (!isDone && answer.failed?.length) await this.#nextNews();
    this.say([outcomeOf(verb, what, answer), ...(isDone ? [] : this.#help(answer, id))].join(" "), isDone ? "ok" : "bad");
  }

  /** What would help those that failed. */
  #help(answer, id) {
    const names = answer.failed ?? [id];
    const remedies = names.map((name) => this.board.rows.get(name)).filter((row) => row?.remedy);
    return [...new Set(remedies.map((row) => `What helps: ${row.remedy}.`))];
  }

  #nextNews() {
    return new Promise((done) => {
      this.#waiting.push(done);
      setTimeout(done, LOOK);
    });
  }

  #question(verb, row) {
    if (verb === "reload") {
      const others = [...this.board.rows.values()].filter((each) => each.distribution === row.distribution);
      const names = others.map((each) => each.id);
      const text =
        `The next generation of ${list(names)} is loaded beside the one that serves, and takes over when it is ` +
        "complete. Calls under way end with the old one; if anything fails, the old one stays.";
      return [row.distribution, `Reload ${row.distribution}?`, text, { distribution: row.distribution }];
    }
    const texts = {
      disable:
        "It is withdrawn at once and closed when what runs on it has ended. It is not imported again until it is " +
        "enabled, the configuration changes or the process ends.",
      enable: "It may be imported again, and is when it is needed next.",
    };
    const title = verb === "disable" ? "Disable" : "Enable";
    return [row.id, `${title} ${row.id}?`, texts[verb], { plugin: row.id }];
  }

  #brokers() {
    return [...this.board.rows.values()].filter((row) => row.kind === "brokers").map((row) => row.key);
  }
}

function list(names) {
  const shown = names.slice(0, 6).join(", ");
  return names.length > 6 ? `${shown} and ${names.length - 6} more` : shown;
}
