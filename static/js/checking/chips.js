// Labels as chips with type-ahead (WAI-ARIA combobox with a list): free entry always, any order kept, no duplicates.
// Enter, comma (also the Chinese ones) or leaving the field adds; Backspace in an empty field takes the last one back;
// pasted lists are split. Composing (IME) is never interrupted. ArrowLeft in an empty field goes into the chips, where
// 1 to 5 tell the intensity, Shift with them the confidence.

const SEPARATORS = /[,，、;；\n\t|]+/;
export const SCORES = ["intensity", "confidence"];
let lists = 0;

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export class Chips {
  /**
   * `root` holds `<ul>` and `<input>`. `onChange()` is called after each change by the user; `search(typed, items)`
   * gives `[{title, words: [{word, count}]}]`; with `scored` each label has an intensity and a confidence. `text` has
   * `removeLabel`, `intensity`, `confidence`, `scoresOf`, `used`.
   */
  constructor(root, { text, onChange, search = () => [], ready = () => Promise.resolve(), scored = false }) {
    Object.assign(this, { root, text, onChange, search, ready, scored });
    this.list = root.querySelector("ul");
    this.input = root.querySelector("input");
    this.items = [];
    this.scores = {};
    this.open = null; // the label whose scores are shown
    this.readOnly = false;
    this.offers = make("div", { className: "offers", id: `offers-${++lists}`, hidden: true });
    this.offers.setAttribute("role", "listbox");
    this.offers.setAttribute("aria-label", this.input.getAttribute("aria-label") || this.input.labels?.[0]?.textContent || "");
    this.panel = make("div", { className: "scores", hidden: true });
    root.append(this.offers);
    root.after(this.panel);
    for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-expanded", "false"], ["aria-controls", this.offers.id]]) {
      this.input.setAttribute(name, value);
    }
    this.#wire();
  }

  #wire() {
    const { input, root } = this;
    input.addEventListener("keydown", (event) => this.#keydown(event));
    input.addEventListener("input", (event) => {
      if (event.isComposing) return;
      if (SEPARATORS.test(input.value)) this.#take();
      else this.#offer();
    });
    input.addEventListener("compositionend", () => {
      if (SEPARATORS.test(input.value)) this.#take();
      else this.#offer();
    });
    input.addEventListener("focus", () => this.ready().then(() => document.activeElement === input && this.#offer()));
    input.addEventListener("blur", () => {
      this.#take();
      this.#close();
    });
    input.addEventListener("paste", (event) => {
      const pasted = event.clipboardData.getData("text");
      if (!SEPARATORS.test(pasted)) return;
      event.preventDefault();
      this.add(pasted.split(SEPARATORS));
    });
    this.offers.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the field keeps the focus
      const option = event.target.closest("[role=option]");
      if (option) this.#choose(option);
    });
    root.addEventListener("click", (event) => {
      const remove = event.target.closest("[data-remove]");
      const label = event.target.closest("[data-label]");
      if (remove) this.remove(Number(remove.dataset.remove));
      else if (label) this.#show(this.open === label.dataset.label ? null : label.dataset.label);
      else if (event.target === root || event.target === this.list) input.focus();
    });
    this.list.addEventListener("keydown", (event) => this.#onChip(event));
    this.panel.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.score(this.open, button.dataset.score, Number(button.value));
    });
  }

  get value() {
    const waiting = this.input.value.trim();
    return waiting && !this.items.includes(waiting) ? [...this.items, waiting] : [...this.items];
  }

  set value(items) {
    this.items = [...items];
    if (document.activeElement !== this.input) this.input.value = "";
    this.scores = Object.fromEntries(Object.entries(this.scores).filter(([label]) => this.items.includes(label)));
    this.#draw();
  }

  /** `{label: {intensity, confidence}}` of the labels that have one. */
  get scoring() {
    const told = Object.entries(this.scores).filter(([label, given]) => this.items.includes(label) && SCORES.some((name) => given[name]));
    return Object.fromEntries(told.map(([label, given]) => [label, { intensity: given.intensity || null, confidence: given.confidence || null }]));
  }

  set scoring(scores) {
    this.scores = structuredClone(scores || {});
    this.#draw();
  }

  lock(readOnly) {
    this.readOnly = readOnly;
    this.input.hidden = readOnly;
    this.#draw();
  }

  add(texts) {
    const before = this.items.length;
    for (const word of texts.map((t) => t.trim())) {
      if (word && !this.items.includes(word)) this.items.push(word);
    }
    this.#draw();
    if (this.items.length !== before) this.onChange();
  }

  remove(index) {
    const [gone] = this.items.splice(index, 1);
    delete this.scores[gone];
    this.#draw();
    this.input.focus();
    this.onChange();
  }

  /** Set a score of a label; the same once more takes it back. */
  score(label, name, value) {
    if (this.readOnly || !label) return;
    const given = (this.scores[label] ??= {});
    given[name] = given[name] === value ? null : value;
    const focused = document.activeElement?.dataset.label === label;
    this.#draw();
    if (focused) this.#chip(this.items.indexOf(label))?.focus();
    this.onChange();
  }

  // ---- the field and its list
  #keydown(event) {
    if (event.isComposing || event.keyCode === 229) return;
    const { input } = this;
    const options = [...this.offers.querySelectorAll("[role=option]")];
    const at = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
    const handled = () => {
      event.preventDefault();
      event.stopPropagation();
    };
    if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
      handled();
      if (at >= 0) this.#choose(options[at]);
      else this.#take();
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && options.length) {
      handled();
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.#select(options, at < 0 ? (step > 0 ? 0 : options.length - 1) : at + step);
    } else if (event.key === "Escape" && !this.offers.hidden && (at >= 0 || input.value)) {
      handled();
      this.#close();
    } else if (event.key === "Backspace" && input.value === "" && this.items.length) {
      event.preventDefault();
      this.remove(this.items.length - 1);
    } else if (event.key === "ArrowLeft" && input.value === "" && this.items.length) {
      handled();
      this.#chip(this.items.length - 1).focus();
    }
  }

  #select(options, index) {
    options.forEach((option, place) => option.setAttribute("aria-selected", String(place === index)));
    const chosen = options[index];
    if (chosen) {
      this.input.setAttribute("aria-activedescendant", chosen.id);
      chosen.scrollIntoView({ block: "nearest" });
    } else this.input.removeAttribute("aria-activedescendant");
  }

  #choose(option) {
    this.input.value = "";
    this.add([option.dataset.word]);
    this.#offer();
  }

  #offer() {
    const groups = this.readOnly ? [] : this.search(this.input.value, this.items);
    let number = 0;
    this.offers.replaceChildren(
      ...groups.map(({ title, words }) => {
        const group = make("div", { className: "offer-group" });
        group.setAttribute("role", "group");
        group.setAttribute("aria-label", title || words[0].word);
        if (title) group.append(make("span", { className: "offer-title", ariaHidden: "true" }, title));
        for (const { word, count } of words) {
          const option = make("span", { className: "offer", id: `${this.offers.id}-${number++}` }, word);
          option.setAttribute("role", "option");
          option.setAttribute("aria-selected", "false");
          option.dataset.word = word;
          if (count) option.append(make("small", { title: this.text.used.replace("%s", count) }, ` ${count}`));
          group.append(option);
        }
        return group;
      }),
    );
    this.offers.hidden = !groups.length;
    this.#place();
    this.input.setAttribute("aria-expanded", String(groups.length > 0));
    this.input.removeAttribute("aria-activedescendant");
  }

  /** Below the field, or above it where the column ends before the list does. */
  #place() {
    this.offers.classList.remove("offers--above");
    const area = this.root.closest(".work-area")?.getBoundingClientRect() || { top: 0, bottom: innerHeight };
    const [field, list] = [this.root.getBoundingClientRect(), this.offers.getBoundingClientRect()];
    const below = Math.min(area.bottom, innerHeight) - field.bottom;
    const above = field.top - Math.max(area.top, 0);
    this.offers.classList.toggle("offers--above", list.height > below && above > below);
  }

  #close() {
    this.offers.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  #take() {
    const typed = this.input.value;
    this.input.value = "";
    if (typed.trim()) this.add(typed.split(SEPARATORS));
    if (document.activeElement === this.input) this.#offer();
  }

  // ---- the chips and their scores
  #chip(index) {
    return this.list.querySelectorAll("[data-label]")[index];
  }

  #onChip(event) {
    const label = event.target.dataset?.label;
    if (label === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const index = this.items.indexOf(label);
    const digit = /^(?:Digit|Numpad)([1-5])$/.exec(event.code)?.[1] || (/^[1-5]$/.test(event.key) ? event.key : "");
    if (digit && this.scored) this.score(label, SCORES[event.shiftKey ? 1 : 0], Number(digit));
    else if (event.key === "ArrowLeft") this.#chip(Math.max(index - 1, 0)).focus();
    else if (event.key === "ArrowRight" || event.key === "Escape") (event.key === "ArrowRight" && this.#chip(index + 1) ? this.#chip(index + 1) : this.input).focus();
    else if (event.key === "Backspace" || event.key === "Delete") !this.readOnly && this.remove(index);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #show(label) {
    if (!this.scored || this.readOnly) return;
    this.open = label;
    this.#draw();
    if (label !== null) this.panel.querySelector("button")?.focus({ preventScroll: true });
  }

  #draw() {
    if (!this.items.includes(this.open)) this.open = null;
    const at = this.list.contains(document.activeElement) ? document.activeElement : null;
    const [label, name] = at?.dataset.label ? [at.dataset.label, "label"] : [this.drawn?.[at?.dataset.remove], "remove"];
    this.list.replaceChildren(...this.items.map((each, index) => this.#item(each, index)));
    this.drawn = [...this.items];
    if (at) (this.list.querySelectorAll(`[data-${name}]`)[this.items.indexOf(label)] || this.input).focus();
    this.panel.hidden = this.open === null || this.readOnly;
    if (this.panel.hidden) {
      if (this.panel.contains(document.activeElement)) this.input.focus(); // its label is gone
      return this.panel.replaceChildren();
    }
    const focused = document.activeElement?.dataset.score ? [document.activeElement.dataset.score, document.activeElement.value] : null;
    this.panel.setAttribute("role", "group");
    this.panel.setAttribute("aria-label", this.text.scoresOf.replace("%s", this.open));
    this.panel.replaceChildren(make("strong", {}, this.open), ...SCORES.map((name) => this.#scale(name)));
    if (focused) this.panel.querySelector(`[data-score="${focused[0]}"][value="${focused[1]}"]`)?.focus();
  }

  #scale(name) {
    const scale = make("span", { className: "scale" }, make("span", { className: "muted" }, this.text[name]));
    scale.setAttribute("role", "group");
    scale.setAttribute("aria-label", this.text[name]);
    for (const value of [1, 2, 3, 4, 5]) {
      const button = make("button", { type: "button", value }, String(value));
      button.dataset.score = name;
      button.setAttribute("aria-pressed", String(this.scores[this.open]?.[name] === value));
      scale.append(button);
    }
    return scale;
  }

  #item(label, index) {
    const item = make("li", { className: "chip" });
    const given = this.scores[label] || {};
    const told = SCORES.filter((name) => given[name]).map((name) => `${this.text[name]} ${given[name]}`);
    const face = make("button", { type: "button", className: "chip-label", tabIndex: -1, title: told.join(", ") }, label);
    face.dataset.label = label;
    if (told.length) {
      face.setAttribute("aria-label", [label, ...told].join(", "));
      face.append(make("small", {}, ` ${given.intensity || "–"}·${given.confidence || "–"}`));
    }
    if (this.scored && !this.readOnly) face.setAttribute("aria-expanded", String(this.open === label));
    item.append(face);
    if (!this.readOnly) {
      const remove = make("button", { type: "button", className: "chip-remove" }, "×");
      remove.dataset.remove = index;
      remove.setAttribute("aria-label", this.text.removeLabel.replace("%s", label));
      item.append(remove);
    }
    return item;
  }
}
