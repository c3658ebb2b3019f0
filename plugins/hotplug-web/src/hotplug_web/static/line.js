// The line to the server: who we are, and a socket that comes back whatever happens (CONTRACT.md).
const FIRST = 250; // milliseconds before the first attempt to come back, twice as many each time
const LONGEST = 2000;
const CROWDED = 5000; // where there are too many connections already
const LOST = 5000; // without a connection for so long, it is offline
const ANSWER = 10_000;
const SILENCE = 3; // heartbeats without a word

/** What `POST`s and `GET`s answer: {status, ...facts}. Whatever the network does is status 0. */
async function ask(path, options = {}) {
  try {
    const answer = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
    const facts = answer.status === 204 ? {} : await answer.json().catch(() => ({}));
    return { ...facts, status: answer.status };
  } catch (error) {
    return { status: 0, error: "the server does not answer", cause: error.name };
  }
}

export class Line {
  #csrf = "";
  #socket = null;
  #pause = FIRST;
  #timer = 0;
  #watchdog = 0;
  #lostAt = 0;
  #cursor = null;
  #heartbeat = 15;
  #user = null;
  #round = 0;

  /** *page* hears: `state(word, why)`, `frame(frame)`, `welcome(who)`, `unknown(why)`. */
  constructor(page) {
    this.page = page;
  }

  /** Come in: with *token*, if there is one, else as who the cookie says. */
  async enter(token = null, why = "") {
    const round = this.#stop();
    this.page.state("connecting");
    let refused = "";
    if (token !== null) {
      const who = await this.#json("POST", "api/session", { token });
      if (round !== this.#round) return;
      if (who.status === 200) return this.#begin(who);
      refused = who.error ?? "That token is not known here.";
      if (who.status === 0 || who.status === 429) return this.#unknown(refused);
    }
    const who = await ask("api/session", { signal: AbortSignal.timeout(ANSWER) });
    if (round !== this.#round) return;
    if (who.status === 200 && who.user) return this.#begin(who);
    if ([200, 401, 403].includes(who.status)) return this.#unknown(refused || why);
    this.#comeBack();
  }

  async leave() {
    this.#stop();
    await this.#json("DELETE", "api/session");
    this.#cursor = null;
    this.#unknown("You are logged out.");
  }

  /** Ask for an action. It takes as long as it takes. */
  async act(verb, facts) {
    const answer = await this.#json("POST", `api/${verb}`, facts, null);
    if (answer.status === 401) this.enter(null, "You are logged out: your session ended.");
    return answer;
  }

  send(frame) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  /** Try now, if it waits to come back. */
  hurry() {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.enter();
  }

  #json(method, path, facts, limit = ANSWER) {
    const headers = { "Content-Type": "application/json", "X-CSRF-Token": this.#csrf };
    const signal = limit === null ? undefined : AbortSignal.timeout(limit);
    return ask(path, { method, headers, signal, body: facts && JSON.stringify(facts) });
  }

  #begin(who) {
    this.#csrf = who.csrf;
    if (who.user !== this.#user) this.#cursor = null; // somebody else's events begin at their beginning
    this.#user = who.user;
    this.page.welcome(who);
    const address = new URL("ws", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    address.hash = "";
    address.search = `?after=${this.#cursor ?? "start"}`;
    const socket = new WebSocket(address);
    this.#socket = socket;
    socket.onmessage = (message) => this.#hear(socket, message);
    socket.onclose = (event) => this.#closed(socket, event);
    this.#watch(socket);
  }

  #hear(socket, message) {
    if (socket !== this.#socket) return;
    const frame = JSON.parse(message.data);
    if (frame.type === "hello") this.#heartbeat = frame.heartbeat;
    this.#watch(socket);
    if (frame.type === "hello") {
      this.#pause = FIRST;
      this.#lostAt = 0;
      this.page.state("live");
    } else if (frame.type === "ping") this.send({ type: "pong" });
    if (frame.cursor !== undefined) {
      if (frame.cursor === this.#cursor && frame.type !== "GAP") return; // a gap stands where the last event did
      this.#cursor = frame.cursor;
    }
    this.page.frame(frame);
  }

  #closed(socket, event) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    clearTimeout(this.#watchdog);
    if (event.code === 4401) return void this.enter(null, "You are logged out: your session ended.");
    if (event.code === 4403) return this.#unknown(event.reason || "This page may not connect here.");
    if (event.code === 4429) this.#pause = CROWDED;
    this.#comeBack(event.reason);
  }

  #comeBack(why) {
    this.#lostAt ||= Date.now();
    this.page.state(Date.now() - this.#lostAt > LOST ? "offline" : "connecting", why);
    clearTimeout(this.#timer);
    // Not all pages at the same instant, when the server is back.
    this.#timer = setTimeout(() => this.hurry(), this.#pause * (0.75 + Math.random() / 2));
    this.#pause = Math.min(this.#pause * 2, LONGEST);
  }

  /** Whoever hears nothing for too long is not connected, whatever the socket believes. */
  #watch(socket) {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      socket.close();
      this.#closed(socket, { code: 1006 });
    }, SILENCE * this.#heartbeat * 1000);
  }

  #unknown(why) {
    this.#stop();
    this.page.state("offline");
    this.page.unknown(why);
  }

  #stop() {
    clearTimeout(this.#timer);
    clearTimeout(this.#watchdog);
    this.#timer = 0;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#round += 1;
    return this.#round;
  }
}
