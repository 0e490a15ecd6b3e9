// The keyboard of the checking page. Single letters act only while nobody is typing, composing (IME) or in a
// dialog, and never together with Ctrl, Alt or Meta; Ctrl+Enter and Ctrl+S act everywhere.

/** Whether this event belongs to a field, a menu or an input method. */
export function typing(event) {
  if (event.isComposing || event.keyCode === 229) return true;
  const target = event.target;
  if (!(target instanceof Element)) return false;
  if (target.closest("dialog[open]")) return true;
  if (target.isContentEditable) return true;
  if (target instanceof HTMLInputElement) return !["button", "submit", "range", "checkbox", "radio"].includes(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}

/**
 * Bind `table`: `{key: action}` for plain keys, with `mod+` before a key for Ctrl or Meta.
 * A key is `event.key` in lower case. Space and Enter on a focused button or link stay the button's.
 */
export function bind(table, enabled) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.keyCode === 229 || !enabled()) return;
    const key = event.key.toLowerCase();
    const mod = event.ctrlKey || event.metaKey;
    const action = table[mod ? `mod+${key}` : event.shiftKey && key.startsWith("arrow") ? `shift+${key}` : key];
    if (!action || event.altKey) return;
    if (!mod) {
      if (key === "escape") {
        action(event);
        return;
      }
      if (typing(event)) return;
      const control = event.target instanceof Element && event.target.closest("button, a, summary, input, select");
      if (control && (key === " " || key === "enter" || (control.type === "range" && key.startsWith("arrow")))) return;
    }
    event.preventDefault();
    action(event);
  });
}
