// How long somebody really works at a clip, and at which clue: seconds without idle time, what was played, keys, edits.
// A second counts when the tab is seen and there was a sign of work not long ago: pointer, key, wheel, touch, playback.

const SIGNS = ["pointermove", "pointerdown", "wheel", "touchstart", "keydown", "input"];
const MODIFIERS = new Set(["Shift", "Control", "Alt", "Meta", "AltGraph", "CapsLock", "Process"]);
const TICK = 500; // ms
const LONGEST_TICK = 2; // seconds: a computer that slept did not work
const COVERED = 0.8; // share of a span that was heard for it to count as played
const JOINT = 0.05; // seconds between two stretches that count as one

const round = (seconds) => Math.round(seconds * 1000) / 1000;

/** Stretches in order, those that meet made one. */
export function joined(stretches) {
  const found = [];
  for (const [start, end] of [...stretches].sort((a, b) => a[0] - b[0])) {
    const last = found.at(-1);
    if (last && start <= last[1] + JOINT) last[1] = Math.max(last[1], end);
    else found.push([start, end]);
  }
  return found;
}

function covered(span, stretches) {
  const [from, to] = span;
  if (to <= from) return stretches.some(([start, end]) => start <= from && from <= end);
  const heard = stretches.reduce((sum, [start, end]) => sum + Math.max(0, Math.min(end, to) - Math.max(start, from)), 0);
  return heard >= COVERED * (to - from);
}

export class Activity {
  /** `idle`: seconds without a sign after which nothing counts; `player` and `editor` as on the checking page. */
  constructor({ idle = 60, player, editor }) {
    this.idle = idle;
    this.player = player;
    this.editor = editor;
    this.claim = null;
    this.lastSign = performance.now();
    this.#clear();
    const seen = (event) => this.#sign(event);
    for (const name of SIGNS) document.addEventListener(name, seen, { capture: true, passive: true });
    document.addEventListener("visibilitychange", () => this.#tick());
    this.timer = setInterval(() => this.#tick(), TICK);
  }

  #clear() {
    this.active = 0;
    this.clues = new Map();
    this.before = [];
    this.context = { previous: false, next: false };
    this.keys = 0;
    this.edits = 0;
    this.last = performance.now();
  }

  /** A clip is shown; a draft's own work goes on where it was. */
  start(claim) {
    this.#clear();
    this.claim = claim;
    this.lastSign = performance.now();
    const work = claim?.draft?.work;
    if (!work) return;
    this.active = work.active_s || 0;
    this.before = (work.played || []).map((pair) => [...pair]);
    for (const [id, told] of Object.entries(work.clues || {})) this.clues.set(id, told.active_s || 0);
    Object.assign(this.context, work.context || {});
    this.keys = work.keys || 0;
    this.edits = work.edits || 0;
  }

  /** The neighbouring clip was looked at: `previous` or `next`. */
  seen(which) {
    if (which in this.context) this.context[which] = true;
  }

  #sign(event) {
    if (!event.isTrusted) return;
    this.#tick();
    this.lastSign = performance.now();
    if (event.type === "keydown" && !event.repeat && !MODIFIERS.has(event.key)) this.keys += 1;
    if (event.type === "input") this.edits += 1;
  }

  #tick() {
    const now = performance.now();
    const seconds = Math.min((now - this.last) / 1000, LONGEST_TICK);
    this.last = now;
    if (!this.claim || document.hidden || !this.#awake(now)) return;
    this.active += seconds;
    const id = this.#clue();
    if (id) this.clues.set(id, (this.clues.get(id) || 0) + seconds);
  }

  /** Who plays a clip watches it; who has left it looping does not. */
  #awake(now) {
    const quiet = (now - this.lastSign) / 1000;
    return quiet < this.idle || (this.player?.playing && quiet < this.idle + 2 * (this.player.duration || 0));
  }

  /** The id of the offered clue whose card is active. */
  #clue() {
    const active = this.editor?.clues?.active;
    const id = active?.offered?.id;
    return id === null || id === undefined ? null : String(id);
  }

  get played() {
    return joined([...this.before, ...(this.player?.played || []).map((pair) => [...pair])]);
  }

  /** What `body.work` is. */
  get value() {
    this.#tick();
    const played = this.played;
    const whole = [0, this.player?.duration || this.claim?.clip?.duration || 0];
    const clues = {};
    for (const clue of this.claim?.clues || []) {
      const id = String(clue.id);
      clues[id] = { active_s: round(this.clues.get(id) || 0), played: covered(clue.span || whole, played) };
    }
    return {
      active_s: round(this.active),
      played: played.map(([start, end]) => [round(start), round(end)]),
      clues,
      context: { ...this.context },
      keys: this.keys,
      edits: this.edits,
    };
  }

  end() {
    this.#tick();
    this.claim = null;
  }
}
