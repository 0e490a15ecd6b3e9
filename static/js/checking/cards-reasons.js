// Why a clue is rejected: one of a short list by a digit or a click, or one's own words.

const OTHER = "other";

/** A stored reason in the reader's words: a code of `text.reasons`, or what stands behind `other:`. */
export function reasonWords(reason, text) {
  if (reason?.startsWith(`${OTHER}:`)) return reason.slice(OTHER.length + 1).trim() || text.reasons[OTHER];
  return text.reasons[reason] || reason || "";
}

export class Reasons {
  /** `card` has refs.reasonRow with its radios and refs.reason for one's own words; its `reason` is what is stored. */
  constructor(card) {
    this.card = card;
    this.row = card.refs.reasonRow;
    this.own = card.refs.reason;
    this.radios = [...this.row.querySelectorAll("input[type=radio]")];
    for (const radio of this.radios) radio.name = `${card.key}-reason`;
    let pointed = false;
    this.row.addEventListener("pointerdown", () => {
      pointed = true;
    });
    this.row.addEventListener("click", (event) => {
      if (!this.radios.includes(event.target)) return;
      this.choose(event.target.value, { goOn: pointed });
      pointed = false;
    });
    this.row.addEventListener("keydown", (event) => this.#key(event));
    this.own.addEventListener("input", () => this.#set(`${OTHER}:${this.own.value}`));
  }

  /** A code of the list, as it is stored before a reader's words; what an older page stored is "other". */
  get code() {
    const { reason } = this.card;
    if (!reason) return "";
    return this.radios.some((radio) => radio.value === reason && reason !== OTHER) ? reason : OTHER;
  }

  /** Whether a digit answers now. */
  get asked() {
    return !this.row.hidden && this.radios.includes(document.activeElement);
  }

  /** One's own words are wanted and not there. */
  get missing() {
    const own = this.card.reason.startsWith(`${OTHER}:`) ? this.card.reason.slice(OTHER.length + 1) : this.card.reason;
    return !own.trim();
  }

  open() {
    (this.radios.find((radio) => radio.checked) || this.radios[0]).focus({ preventScroll: true });
    this.row.scrollIntoView({ block: "nearest" });
  }

  byDigit(digit) {
    const radio = this.radios[digit - 1];
    if (radio && !radio.parentElement.hidden) this.choose(radio.value, { goOn: true });
  }

  choose(code, { goOn }) {
    if (code !== OTHER) this.#set(code);
    else if (this.code !== OTHER) this.#set(`${OTHER}:${this.own.value}`);
    if (code === OTHER) this.own.focus();
    else if (goOn) this.card.list.advance();
  }

  #set(reason) {
    this.card.reason = reason;
    this.card.error("");
    this.card.render();
    this.card.list.changed();
  }

  #key(event) {
    if (event.isComposing || event.keyCode === 229 || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === this.own) {
      if (event.key !== "Enter") return;
      event.preventDefault();
      event.stopPropagation();
      if (this.missing) this.card.error(this.card.list.text.needsReason);
      else this.card.list.advance();
      return;
    }
    // Arrows move through the list by themselves; digits choose; neither is a key of the page here.
    if (event.key.startsWith("Arrow") || event.key === " ") event.stopPropagation();
    else if (/^[1-9]$/.test(event.key)) {
      event.preventDefault();
      event.stopPropagation();
      this.byDigit(Number(event.key));
    } else if (event.key === "Enter") {
      event.preventDefault();
      event.stopPropagation();
      if (document.activeElement.checked) this.choose(document.activeElement.value, { goOn: true });
      else this.choose(document.activeElement.value, { goOn: false });
    }
  }

  render() {
    const { card } = this;
    this.row.hidden = card.verdict !== "rejected";
    this.row.disabled = card.list.readOnly;
    for (const radio of this.radios) radio.checked = radio.value === this.code;
    card.refs.duplicate.hidden = !card.rivals.length && this.code !== card.refs.duplicate.querySelector("input").value;
    this.own.hidden = this.code !== OTHER;
    const words = card.reason.startsWith(`${OTHER}:`) ? card.reason.slice(OTHER.length + 1) : card.reason;
    if (this.code === OTHER && this.own.value !== words) this.own.value = words;
  }
}
