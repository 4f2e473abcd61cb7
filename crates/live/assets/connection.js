// The requests to the server: the token, JSON, and the stream of events.

const TOKEN = "devicestate-token";
/** The server sends at least a comment every 15 seconds. */
const SILENCE_LIMIT_MS = 40_000;
const MAX_DELAY_MS = 5000;

/** Takes the token from the address into the memory of this tab, so that the address can be shown to others. */
export function takeToken() {
  const address = new URL(location.href);
  const token = address.searchParams.get("token");
  if (token !== null) {
    sessionStorage.setItem(TOKEN, token);
    address.searchParams.delete("token");
    history.replaceState(history.state, "", address);
  }
}

/** Takes a token that was typed: the token itself, or the printed address with it. */
export function setToken(text) {
  const found = /[?&]token=([^&#\s]+)/.exec(text);
  sessionStorage.setItem(TOKEN, found ? decodeURIComponent(found[1]) : text.trim());
}

const headers = () => ({ authorization: `Bearer ${sessionStorage.getItem(TOKEN) ?? ""}` });

/** An answer of the server that is not a success, with its problem document. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `status ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

async function request(path, options = {}) {
  const response = await fetch(path, { ...options, headers: headers(), cache: "no-store" });
  if (!response.ok) throw new Refused(response.status, await response.json().catch(() => ({})));
  return response;
}

/** Returns the JSON at a path. */
export const json = async (path, options) => (await request(path, options)).json();

/** Reads server-sent events, and calls `onEvent` with the name and the data of each. */
async function readEvents(body, onBytes, onEvent) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    onBytes();
    // The last part is not complete.
    const parts = (text + value).split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      let name = "message";
      const data = [];
      for (const line of part.split("\n")) {
        if (line.startsWith("event:")) name = line.slice(6).trim();
        else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
      }
      if (data.length > 0) onEvent(name, JSON.parse(data.join("\n")));
    }
  }
}

/**
 * The stream of changes, which connects again when it ends. A filter that the server refuses is reported, and the one before is
 * used again.
 */
export class Stream {
  #where = "";
  #accepted = "";
  /** Whether the outcome of a filter is not reported yet. */
  #isOpen = false;
  #abort = new AbortController();
  #wake = () => {};

  /** `on` has the functions `event(name, data)`, `state(name, message)` and `filter(where, refused)`. */
  constructor(on) {
    this.on = on;
  }

  /** Selects the devices by a filter of the read API; empty for all. */
  filter(where) {
    this.#where = where;
    this.#isOpen = true;
    // Connects at once.
    this.#abort.abort();
    this.#wake();
  }

  /** Runs until the server refuses the token. */
  async run() {
    for (let failures = 0; ;) {
      const where = this.#where;
      this.#abort = new AbortController();
      try {
        await this.#connect(where, () => (failures = 0));
        // The server has ended.
        failures += 1;
      } catch (error) {
        if (error instanceof Refused && error.status === 401) return this.on.state("refused");
        if (error instanceof Refused && error.status === 400 && where !== this.#accepted) {
          this.#isOpen = false;
          this.on.filter(where, error.problem);
          if (this.#where === where) this.#where = this.#accepted;
          continue;
        }
        if (where !== this.#where) continue;
        failures += 1;
        if (error instanceof Refused) this.on.state("problem", error.message);
        else if (!(error instanceof TypeError || error.name === "AbortError")) this.on.state("problem", `${error}`);
      }
      if (where !== this.#where) continue;
      this.on.state("reconnecting");
      const delay = Math.min(MAX_DELAY_MS, 250 * 2 ** failures);
      await new Promise((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, delay);
      });
    }
  }

  async #connect(where, onAccepted) {
    const query = where === "" ? "" : `?${new URLSearchParams({ where })}`;
    const { body } = await request(`live/devices${query}`, { signal: this.#abort.signal });
    onAccepted();
    this.#accepted = where;
    if (this.#isOpen) this.on.filter(where);
    this.#isOpen = false;
    this.on.state("live");
    let timer;
    const restart = () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#abort.abort(), SILENCE_LIMIT_MS);
    };
    restart();
    try {
      await readEvents(body, restart, this.on.event);
    } finally {
      clearTimeout(timer);
    }
  }
}
