// What kind of clue an added one is: modality and aspect in one row of buttons, each with its digit.

export class Kinds {
  /** `card` has refs.kinds, a row that can have the focus; `text.kinds` lists `[modality, aspect]` by digit. */
  constructor(card) {
    this.card = card;
    this.row = card.refs.kinds;
    const { text } = card.list;
    this.buttons = text.kinds.map(([modality, aspect], index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "kind";
      button.tabIndex = -1; // the row is one stop; digits and arrows choose
      const key = document.createElement("kbd");
      key.textContent = index + 1;
      key.setAttribute("aria-hidden", "true");
      const dot = document.createElement("span");
      dot.className = `dot dot--${modality}`;
      button.append(dot, key, " ", aspect ? text.aspects[aspect] : `${text.modalities[modality]} (${text.aspects[""]})`);
      button.addEventListener("click", () => this.choose(index));
      return button;
    });
    this.row.append(...this.buttons);
    this.row.addEventListener("keydown", (event) => this.#key(event));
  }

  get #index() {
    const { modality, aspect } = this.card;
    return this.card.list.text.kinds.findIndex((kind) => kind[0] === modality && kind[1] === aspect);
  }

  choose(index, { goOn = true } = {}) {
    const kind = this.card.list.text.kinds[index];
    if (!kind || this.buttons[index].hidden || this.card.list.readOnly) return;
    const before = this.card.modality;
    [this.card.modality, this.card.aspect] = kind;
    if (before === kind[0]) {
      this.card.render();
      this.card.list.changed();
    } else this.card.list.move(this.card);
    if (goOn) this.card.refs.edit.focus({ preventScroll: true });
  }

  #key(event) {
    const { edit } = this.card.refs;
    if (event.isComposing || event.keyCode === 229) {
      edit.focus(); // an input method begins: it belongs to the text
      event.stopPropagation();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.key === "Escape" || event.key === "Tab") return;
    event.stopPropagation();
    if (/^[1-9]$/.test(event.key)) {
      event.preventDefault();
      this.choose(Number(event.key) - 1);
    } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      event.preventDefault();
      const shown = this.buttons.map((_, index) => index).filter((index) => !this.buttons[index].hidden);
      const at = shown.indexOf(this.#index) + (event.key === "ArrowRight" ? 1 : -1);
      this.choose(shown[(at + shown.length) % shown.length], { goOn: false });
    } else if (event.key === "Enter") {
      event.preventDefault();
      edit.focus();
    } else if (event.key.length === 1) edit.focus(); // the letter goes there
  }

  render() {
    const { card } = this;
    this.row.hidden = card.verdict !== "added" || card.list.readOnly;
    this.buttons.forEach((button, index) => {
      button.hidden = Boolean(card.list.mode) && card.list.text.kinds[index][0] !== card.list.mode;
      button.setAttribute("aria-pressed", String(index === this.#index));
    });
  }
}
