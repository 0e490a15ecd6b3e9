// Drafts: debounced PUT with If-Match, one at a time, at most a second after a change however long one goes on typing;
// until the server has acknowledged a body it also lies in localStorage. Failures that pass are retried with growing
// waits; a conflict stops and asks.

import { api } from "../api.js";
import { local } from "../store.js";

const DEBOUNCE_MS = 600;
const ANSWER_S = 20; // a line that is dead without saying so is a lost one
const LONGEST_MS = 900; // the rest of the second is the way to the server

/** One text per content, whatever the order of keys: the database keeps none. How it was made (`work`) says nothing. */
export function canonical(value) {
  const { work: _work, ...said } = value ?? {};
  return JSON.stringify(value && said, (_key, item) =>
    item && typeof item === "object" && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}

export class Saver {
  /**
   * `url` is the claim's. `on` is told what happens: saving(), saved(date), waiting(error, seconds), conflict(),
   * signedOut(error), lost(error), refused(error).
   */
  constructor({ url, key, etag, read, on }) {
    Object.assign(this, { url, key, etag, read, on });
    // Bodies of ours that the server may hold although no answer said so: the answer was lost, or the page was left.
    this.ours = new Set();
    this.timer = null;
    this.running = null;
    this.wait = 1;
    this.since = null; // when the first change came that no request has carried yet
    this.retryAt = 0;
    this.stopped = false;
    this.acknowledged = null;
    this.flush = this.flush.bind(this);
    window.addEventListener("online", this.flush);
  }

  /** What an earlier visit could not deliver: `{body, etag, at}` or null. */
  static left(key) {
    try {
      return JSON.parse(local.getItem(key));
    } catch {
      return null;
    }
  }

  get pending() {
    return this.timer !== null || this.running !== null;
  }

  /** Take the present body as what the server already has. */
  settle() {
    this.acknowledged = canonical(this.read());
  }

  /** Something changed: keep it here at once, there soon. */
  touch() {
    if (this.stopped) return;
    const body = this.read();
    if (canonical(body) === this.acknowledged && !this.pending) return;
    this.keep(body);
    if (!this.pending) this.on.saving();
    const now = performance.now();
    this.since ??= now;
    this.schedule(Math.max(Math.min(DEBOUNCE_MS, this.since + LONGEST_MS - now), this.retryAt - now, 0));
  }

  keep(body) {
    // A full or forbidden localStorage costs the second copy only; the server still gets the first.
    if (!local.setItem(this.key, JSON.stringify({ body, etag: this.etag, at: Date.now() }))) this.on.noLocalCopy?.();
  }

  schedule(ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = null;
      this.put();
    }, ms);
  }

  /** Deliver now what waits. */
  async flush() {
    if (this.timer !== null) {
      clearTimeout(this.timer);
      this.timer = null;
      this.wait = 1;
      this.retryAt = 0;
      await this.running; // it carries older words
      this.put();
    }
    await this.running;
  }

  put() {
    if (this.stopped) return this.running;
    if (this.running) {
      this.running.then(() => this.schedule(0));
      return this.running;
    }
    this.running = this.#put().finally(() => {
      this.running = null;
    });
    return this.running;
  }

  async #put() {
    const body = this.read();
    this.since = null;
    this.on.saving();
    this.ours.add(canonical(body));
    try {
      const answer = await api("PUT", `${this.url}draft/`, { body, headers: { "If-Match": this.etag }, within: ANSWER_S });
      this.#acknowledge(body, answer.etag || `"${answer.data?.version}"`);
    } catch (error) {
      if (error.status === 412) await this.#reconcile();
      else this.#failed(error);
    }
  }

  #acknowledge(body, etag) {
    this.etag = etag;
    this.acknowledged = canonical(body);
    this.ours.clear();
    this.wait = 1;
    this.retryAt = 0;
    if (canonical(this.read()) === this.acknowledged) local.removeItem(this.key);
    else this.keep(this.read());
    this.on.saved(new Date());
  }

  /** The server holds another version: one of ours, whose answer never came, or somebody else's. */
  async #reconcile() {
    try {
      const { data, etag } = await api("GET", this.url, { within: ANSWER_S });
      if (data.draft && this.ours.has(canonical(data.draft))) {
        this.#acknowledge(data.draft, etag);
        if (canonical(this.read()) !== this.acknowledged) this.schedule(0);
        return;
      }
    } catch (error) {
      this.#failed(error);
      return;
    }
    this.stopped = true;
    this.on.conflict();
  }

  #failed(error) {
    if (error.passing) {
      this.on.waiting(error, this.wait);
      this.retryAt = performance.now() + this.wait * 1000;
      this.schedule(this.wait * 1000);
      this.wait = Math.min(this.wait * 2, 30);
    } else if (error.signedOut) {
      this.on.signedOut(error);
      this.schedule(15000);
    } else if ([403, 404, 409, 410].includes(error.status)) {
      this.on.lost(error);
    } else {
      this.on.refused(error);
    }
  }

  /** After a conflict: go on from the version that the server holds now. */
  resume(etag) {
    this.etag = etag;
    this.ours.clear();
    this.stopped = false;
  }

  /** The work has been handed in or given up: nothing of it is left here. */
  finish() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.timer = null;
    local.removeItem(this.key);
    window.removeEventListener("online", this.flush);
  }

  /** The page goes away: one last attempt that outlives it. The local copy stays until it was acknowledged. */
  farewell() {
    if (this.stopped || this.timer === null) return;
    const headers = { "If-Match": this.etag };
    const body = this.read();
    this.ours.add(canonical(body)); // the page may come back from the browser's cache and hear nothing of it
    api("PUT", `${this.url}draft/`, { body, headers, keepalive: true }).catch(() => {});
  }
}
