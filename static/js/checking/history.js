// Undo and redo over everything that is said about the clip: verdicts, spans, texts, labels.
//
// One rule: in a text field the browser takes back what was typed there since the cursor came in; once that is gone,
// and everywhere else, the page takes back its own last step. What one types in one field is one step until a pause.

import { fieldOf } from "./keys.js";
import { canonical } from "./saver.js";

const PAUSE_MS = 1500;
const LONGEST_MS = 10000;
const STEPS = 300;
const TEXTUAL = "textarea, input:not([type]), input[type=text], input[type=search], input[type=number]";

export class History {
  /**
   * `read()` is the body as it stands, `restore(body)` puts one in its place; `on.moved("undone" | "redone", parts)`
   * tells what a step changed, `on.none(which)` that there is none, `on.drawn(canUndo, canRedo)` follows each change.
   */
  constructor(root, { read, restore, on }) {
    Object.assign(this, { root, read, restore, on });
    this.states = [];
    this.index = -1;
    this.typed = ""; // the kind of input event that is being handled
    this.entered = { field: null, value: "", undone: 0 };
    root.addEventListener("focusin", (event) => this.#enter(fieldOf(event.target)));
    root.addEventListener(
      "input",
      (event) => {
        this.typed = event.inputType || "input";
        if (event.target === this.entered.field) {
          this.entered.undone += { historyUndo: 1, historyRedo: -1 }[this.typed] ?? -this.entered.undone;
        }
        queueMicrotask(() => queueMicrotask(() => (this.typed = "")));
      },
      true,
    );
  }

  #enter(field) {
    const text = field?.matches(TEXTUAL) ? field : null;
    this.entered = { field: text, value: text?.value ?? "", undone: 0 };
  }

  /** Begin anew from what stands there now. */
  start() {
    this.states = [this.#state(null)];
    this.index = 0;
    this.#enter(fieldOf(document.activeElement));
    this.#draw();
  }

  #state(field) {
    const body = this.read();
    const now = performance.now();
    return { body, text: canonical(body), field, begun: now, last: now };
  }

  /** Something has changed. */
  note() {
    if (this.index < 0) return;
    const field = this.typed ? fieldOf(document.activeElement) : null;
    const next = this.#state(field);
    const here = this.states[this.index];
    // A value that the page put into the field leaves the browser nothing to take back there.
    if (!this.typed && this.entered.field) this.#enter(this.entered.field);
    if (next.text === here.text) return;
    const native = { historyUndo: -1, historyRedo: 1 }[this.typed];
    if (native && this.states[this.index + native]?.text === next.text) this.index += native;
    else {
      const within = next.last - here.last < PAUSE_MS && next.last - here.begun < LONGEST_MS;
      this.states.length = this.index + 1;
      if (field && here.field === field && (within || native)) {
        Object.assign(here, { body: next.body, text: next.text, last: next.last });
        if (this.index && this.states[this.index - 1].text === here.text) {
          this.states.pop();
          this.index -= 1;
        }
      } else {
        this.states.push(next);
        if (this.states.length > STEPS) this.states.shift();
        this.index = this.states.length - 1;
      }
    }
    this.#draw();
  }

  undo() {
    const { field, value } = this.entered;
    if (field && document.activeElement === field && field.value !== value) return this.#leave(() => this.#move(-1));
    this.#move(-1);
    return true;
  }

  redo() {
    if (this.entered.undone > 0 && document.activeElement === this.entered.field) return this.#leave(() => this.#move(1));
    this.#move(1);
    return true;
  }

  /** Leave it to the browser; where it does nothing (it forgets a field's past now and then), the page does it. */
  #leave(instead) {
    const { field } = this.entered;
    const before = field.value;
    setTimeout(() => {
      if (field.value !== before) return;
      this.#enter(field);
      instead();
    }, 0);
    return false;
  }

  #move(by) {
    const from = this.states[this.index];
    const to = this.states[this.index + by];
    if (!to) return this.on.none(by < 0 ? "undo" : "redo");
    this.index += by;
    this.restore(to.body);
    to.text = canonical(this.read());
    this.#enter(fieldOf(document.activeElement));
    this.#draw();
    return this.on.moved(by < 0 ? "undone" : "redone", changedParts(from.body, to.body));
  }

  #draw() {
    this.on.drawn(this.index > 0, this.index < this.states.length - 1);
  }
}

/** Which parts of the body differ, by key: clues, description, ov_labels, other. */
export function changedParts(one, other) {
  const keys = [...new Set([...Object.keys(one), ...Object.keys(other)])].filter((key) => key !== "work");
  const parts = keys.filter((key) => canonical({ it: one[key] }) !== canonical({ it: other[key] }));
  const known = ["clues", "description", "ov_labels"];
  return [...new Set(parts.map((key) => (known.includes(key) ? key : "other")))];
}
