// The keyboard of the checking pages: actions by name, keys by action, and when a key is one.
//
// A key is written as in annotator/checking/shortcuts.py: `event.key` in lower case after `mod+` (Ctrl or Command),
// `alt+`, `shift+`, in this order. Plain keys act only while nobody types, composes (IME) or answers a dialog; keys
// with `mod+` act everywhere but in a dialog.

// What may go on while its key is held down; everything else happens once per press.
const REPEATS = new Set([
  "back", "forward", "frame-back", "frame-forward", "next-clue", "previous-clue", "undo", "redo",
  "start-earlier", "start-later", "end-earlier", "end-later", "slower", "faster",
]);
const BUTTONS = ["button", "submit", "reset", "range", "checkbox", "radio", "color", "file"];
const MAC = /Mac|iPhone|iPad/.test(navigator.platform);

export function composing(event) {
  return event.isComposing || event.keyCode === 229 || event.key === "Process";
}

/** The field in which letters are letters, or null. */
export function fieldOf(target) {
  if (!(target instanceof Element)) return null;
  const field = target.closest("input, textarea, select, [contenteditable]");
  if (!field || (field instanceof HTMLInputElement && BUTTONS.includes(field.type))) return null;
  return field;
}

/** Whether this event belongs to a field, a dialog or an input method. */
export function typing(event) {
  return composing(event) || Boolean(fieldOf(event.target)) || Boolean(event.target?.closest?.("dialog[open]"));
}

/** The key that was pressed, in the table's words; "" for a modifier alone or a dead key. */
export function keyOf(event) {
  const key = event.key.length === 1 ? event.key : event.key.toLowerCase();
  if (["control", "shift", "alt", "meta", "altgraph", "capslock", "dead", "process", "unidentified"].includes(key)) return "";
  const level3 = event.getModifierState?.("AltGraph"); // [ and ] of many keyboards
  const mod = (event.ctrlKey || event.metaKey) && !level3;
  const alt = event.altKey && !level3;
  const letter = key.toLowerCase() !== key.toUpperCase();
  const [, digit] = /^Digit([1-9])$/.exec(event.code) || [];
  // Shift and a digit, whatever sign the layout prints there; a layout whose digits need Shift means the digit.
  if (digit && event.shiftKey && !mod && !alt && !/[\d?[\]]/.test(key)) return `shift+${digit}`;
  const shift = event.shiftKey && (key.length > 1 || letter || key === " "); // "?" says its shift itself
  return `${mod ? "mod+" : ""}${alt ? "alt+" : ""}${shift ? "shift+" : ""}${key.toLowerCase()}`;
}

/** Which keys lead to which action: the defaults with the person's own in their place. */
export class Keymap {
  /** `table` is `[{action, keys, what, group}]`, `own` `{action: keys}`, `names` words for keys. */
  constructor(table, own, names) {
    this.table = table;
    this.own = { ...own };
    this.names = names;
    this.onChange = [];
  }

  keys(action) {
    return this.own[action] ?? this.table.find((row) => row.action === action)?.keys ?? [];
  }

  row(key) {
    return this.table.find(({ action }) => this.keys(action).includes(key)) ?? null;
  }

  /** One key for `action` from now on; resolves false and changes nothing where another action has it. */
  set(action, key) {
    const holder = this.row(key);
    if (holder && holder.action !== action) return false;
    const before = this.table.find((row) => row.action === action).keys;
    if (before.includes(key)) delete this.own[action];
    else this.own[action] = [key];
    this.changed();
    return true;
  }

  reset() {
    this.own = {};
    this.changed();
  }

  changed() {
    for (const told of this.onChange) told();
  }

  /** A key as one would print it. */
  label(key) {
    const parts = key === "+" ? ["+"] : key.split(/(?<=.)\+(?=.)/);
    return parts
      .map((part) => (part === "mod" && MAC ? "⌘" : (this.names[part] ?? (part.length === 1 ? part.toUpperCase() : part))))
      .join(" ");
  }

  /** Write the first key of each action into the `kbd[data-key]` below `root`, those of templates included. */
  write(root) {
    const all = [root, ...[...root.querySelectorAll("template")].map((template) => template.content)];
    for (const kbd of all.flatMap((part) => [...part.querySelectorAll("kbd[data-key]")])) {
      const [key] = this.keys(kbd.dataset.key);
      kbd.textContent = key ? this.label(key) : "";
    }
  }
}

/**
 * Listen for the keys of `keymap` and call `actions[name](event)`. An action that returns false leaves the key to the
 * browser. Space, Enter and arrows on a control that uses them stay the control's; Esc leaves a field.
 */
export function bindActions(actions, { keymap, enabled, escape }) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || composing(event) || !enabled()) return;
    const key = keyOf(event);
    if (key === "escape") return escape(event);
    const row = keymap.row(key);
    if (!row || !actions[row.action]) return;
    if (event.repeat && !REPEATS.has(row.action)) return event.preventDefault();
    if (event.target?.closest?.("dialog[open]")) return;
    if (!key.startsWith("mod+")) {
      if (typing(event) || usedBy(event.target, key)) return;
    }
    if (actions[row.action](event) !== false) event.preventDefault();
  });
}

/** Whether the control that has the focus wants this key for itself. */
function usedBy(target, key) {
  const control = target instanceof Element && target.closest("button, a, summary, input, [role=slider], [role=tab]");
  if (!control) return false;
  if (key === " " || key === "enter") return true;
  const moves = control.type === "range" || control.type === "radio" || ["slider", "tab"].includes(control.getAttribute("role"));
  return moves && /^(shift\+)?(arrow|home|end|page)/.test(key);
}
