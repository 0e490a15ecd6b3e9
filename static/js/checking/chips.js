// OV labels as chips: free entry, any order kept, no duplicates. Enter, comma (also the Chinese ones) or leaving
// the field adds; Backspace in an empty field takes the last one back; pasted lists are split. Composing (IME)
// is never interrupted.

const SEPARATORS = /[,，、;；\n\t|]+/;

export class Chips {
  /** `root` holds `<ul>`, `<input>`; `onChange()` is called after each change by the user. */
  constructor(root, { removeText, onChange }) {
    this.root = root;
    this.list = root.querySelector("ul");
    this.input = root.querySelector("input");
    this.removeText = removeText;
    this.onChange = onChange;
    this.items = [];
    this.readOnly = false;
    this.input.addEventListener("keydown", (event) => this.#keydown(event));
    this.input.addEventListener("input", (event) => {
      if (!event.isComposing && SEPARATORS.test(this.input.value)) this.#take();
    });
    this.input.addEventListener("compositionend", () => {
      if (SEPARATORS.test(this.input.value)) this.#take();
    });
    this.input.addEventListener("blur", () => this.#take());
    this.input.addEventListener("paste", (event) => {
      const text = event.clipboardData.getData("text");
      if (!SEPARATORS.test(text)) return;
      event.preventDefault();
      this.add(text.split(SEPARATORS));
    });
    root.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.remove(Number(button.dataset.index));
      else if (event.target === root || event.target === this.list) this.input.focus();
    });
  }

  get value() {
    const waiting = this.input.value.trim();
    return waiting && !this.items.includes(waiting) ? [...this.items, waiting] : [...this.items];
  }

  set value(items) {
    this.items = [...items];
    this.input.value = "";
    this.#draw();
  }

  lock(readOnly) {
    this.readOnly = readOnly;
    this.input.hidden = readOnly;
    this.#draw();
  }

  add(texts) {
    const before = this.items.length;
    for (const text of texts.map((t) => t.trim())) {
      if (text && !this.items.includes(text)) this.items.push(text);
    }
    this.#draw();
    if (this.items.length !== before) this.onChange();
  }

  remove(index) {
    this.items.splice(index, 1);
    this.#draw();
    this.input.focus();
    this.onChange();
  }

  #keydown(event) {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      this.#take();
    } else if (event.key === "Backspace" && this.input.value === "" && this.items.length) {
      event.preventDefault();
      this.remove(this.items.length - 1);
    }
  }

  #take() {
    const text = this.input.value;
    this.input.value = "";
    if (text.trim()) this.add(text.split(SEPARATORS));
  }

  #draw() {
    this.list.replaceChildren(
      ...this.items.map((text, index) => {
        const item = document.createElement("li");
        item.className = "chip";
        item.append(text);
        if (!this.readOnly) {
          const button = document.createElement("button");
          button.type = "button";
          button.dataset.index = index;
          button.setAttribute("aria-label", this.removeText.replace("%s", text));
          button.textContent = "×";
          item.append(button);
        }
        return item;
      }),
    );
  }
}
