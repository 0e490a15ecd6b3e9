// The clues of a clip: one card each, by modality; keep, correct, reject (with a reason), add.

import { showChips, showMarked } from "../gate.js";
import { clock } from "./player.js";

const ORDER = ["visual", "audio", "text"];

export class ClueList {
  /**
   * `root` has one `[data-modality]` section per modality with a `[data-list]`; `template` is a card.
   * `text` holds the words; `onChange()` follows each change, `onFocus(card)` each change of the active card.
   */
  constructor(root, template, { text, player, onChange, onFocus }) {
    Object.assign(this, { root, template, text, player, onChange, onFocus });
    this.cards = [];
    this.active = null;
    this.readOnly = false;
  }

  /** Show the offered clues with what `body` (a draft or an annotation) says about them. */
  load(offered, body, readOnly = false) {
    this.readOnly = readOnly;
    for (const card of this.cards) card.element.remove();
    this.cards = [];
    this.active = null;
    const said = new Map();
    for (const clue of body?.clues || []) if (clue.id != null) said.set(clue.id, clue);
    for (const clue of offered) this.#append(new Card(this, clue, said.get(clue.id)));
    for (const clue of body?.clues || []) if (clue.id == null) this.#append(new Card(this, null, clue));
    this.#count();
  }

  #append(card) {
    this.cards.push(card);
    const section = this.root.querySelector(`[data-modality="${card.modality}"]`);
    section.querySelector("[data-list]").append(card.element);
    card.render();
  }

  /** The clues of a body; undecided ones are left out, so that a draft may be half done. */
  get value() {
    return this.ordered().filter((card) => card.verdict).map((card) => card.value);
  }

  get undecided() {
    return this.ordered().filter((card) => !card.verdict);
  }

  /** Cards as they stand on the page. */
  ordered() {
    return ORDER.flatMap((modality) => this.cards.filter((card) => card.modality === modality));
  }

  add(modality, language) {
    const draft = { modality, aspect: "", language, text: "", span: null, verdict: "added" };
    const card = new Card(this, null, draft);
    this.#append(card);
    this.activate(card);
    card.refs.edit.focus();
    this.changed();
    return card;
  }

  removeAdded(card) {
    const next = this.ordered()[this.ordered().indexOf(card) + 1] || null;
    this.cards = this.cards.filter((other) => other !== card);
    card.element.remove();
    this.active = null;
    if (next) this.activate(next);
    this.changed();
  }

  activate(card, { scroll = true } = {}) {
    if (this.active !== card) {
      this.active?.element.classList.remove("is-active");
      this.active = card;
      card.element.classList.add("is-active");
    }
    if (scroll) card.element.scrollIntoView({ block: "nearest" });
    this.onFocus(card);
  }

  /** The next card in the given direction; wraps nowhere. */
  step(direction) {
    const cards = this.ordered();
    const index = this.active ? cards.indexOf(this.active) + direction : 0;
    const card = cards[Math.min(Math.max(index, 0), cards.length - 1)];
    if (!card) return;
    this.activate(card);
    card.element.focus({ preventScroll: true });
  }

  /** Go on to the first card without a verdict after this one. */
  advance() {
    const cards = this.ordered();
    const from = cards.indexOf(this.active);
    const next = cards.slice(from + 1).find((card) => !card.verdict) || cards.find((card) => !card.verdict);
    if (next) {
      this.activate(next);
      next.element.focus({ preventScroll: true });
    }
  }

  changed() {
    this.#count();
    this.onChange();
  }

  #count() {
    for (const section of this.root.querySelectorAll("[data-modality]")) {
      const cards = this.cards.filter((card) => card.modality === section.dataset.modality);
      const open = cards.filter((card) => !card.verdict).length;
      const count = section.querySelector("[data-count]");
      count.textContent = open ? this.text.open.replace("%s", open) : cards.length ? this.text.checked : "";
      count.className = open ? "badge badge--info" : cards.length ? "badge badge--ok" : "badge";
      count.hidden = !cards.length;
      section.querySelector("[data-none]").hidden = cards.length > 0;
    }
  }

  clearErrors() {
    for (const card of this.cards) card.error("");
  }
}

class Card {
  constructor(list, offered, said) {
    this.list = list;
    this.offered = offered;
    const source = said || offered;
    this.modality = offered ? offered.modality : source.modality;
    this.aspect = source.aspect || "";
    this.language = source.language;
    this.text = source.text;
    this.span = source.span || null;
    this.verdict = said ? said.verdict : null;
    this.reason = said?.reason || "";
    this.element = list.template.content.firstElementChild.cloneNode(true);
    this.refs = {};
    for (const element of this.element.querySelectorAll("[data-ref]")) this.refs[element.dataset.ref] = element;
    this.#wire();
    if (offered) showMarked(this.refs.text, offered.text, offered.gate || [], list.text.gate);
    showChips(this.refs.gate, offered?.gate || [], list.text.gate, (span) => list.player.playSpan(span));
  }

  #wire() {
    const { refs, list } = this;
    const id = this.offered ? `clue-${this.offered.id}` : `clue-new-${Math.random().toString(36).slice(2, 8)}`;
    this.element.id = id;
    refs.error.id = `${id}-error`;
    this.element.addEventListener("focusin", () => list.activate(this, { scroll: false }));
    this.element.addEventListener("pointerdown", () => list.activate(this, { scroll: false }));
    refs.keep.addEventListener("click", () => this.decide("kept"));
    refs.correct.addEventListener("click", () => this.decide("corrected"));
    refs.reject.addEventListener("click", () => this.decide("rejected"));
    refs.remove.addEventListener("click", () => list.removeAdded(this));
    refs.edit.addEventListener("input", () => {
      this.text = refs.edit.value;
      this.#guessLanguage();
      this.error("");
      list.changed();
    });
    refs.reason.addEventListener("input", () => {
      this.reason = refs.reason.value;
      this.error("");
      list.changed();
    });
    refs.language.addEventListener("change", () => {
      this.languageChosen = true;
      this.#language(refs.language.value);
    });
    refs.aspect.addEventListener("change", () => {
      this.aspect = refs.aspect.value;
      list.changed();
    });
    for (const end of [0, 1]) {
      refs[end ? "end" : "start"].addEventListener("change", () => this.#spanTyped());
      refs[end ? "endHere" : "startHere"].addEventListener("click", () => this.markSpan(end));
    }
    refs.spanClear.addEventListener("click", () => this.setSpan(null));
    refs.spanPlay.addEventListener("click", () => this.play());
  }

  get editable() {
    return !this.list.readOnly && (this.verdict === "corrected" || this.verdict === "added");
  }

  /** As a clue of the body: kept and rejected ones are the offered ones to the letter. */
  get value() {
    const { modality, aspect, language, text, span, verdict } = this;
    if (verdict === "added") return { modality, aspect, language, text: text.trim(), span, verdict };
    const { id } = this.offered;
    if (verdict === "corrected") {
      return { id, modality, aspect, language, text: text.trim(), span, verdict, ...this.#why() };
    }
    const as = this.offered;
    return {
      id, modality, aspect: as.aspect || "", language: as.language, text: as.text, span: as.span || null, verdict,
      ...this.#why(),
    };
  }

  #why() {
    return this.reason.trim() && this.verdict !== "kept" ? { reason: this.reason.trim() } : {};
  }

  /** What is wrong with this card, in words, or "". */
  problem() {
    const { text } = this.list;
    if (!this.verdict) return text.needsVerdict;
    if (this.editable && !this.text.trim()) return text.needsText;
    if (this.span && !(this.span[0] >= 0 && this.span[1] >= this.span[0])) return text.badSpan;
    if (this.verdict === "corrected") {
      const { offered, value } = this;
      const same = (a, b) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
      const kept = value.language === offered.language && value.aspect === (offered.aspect || "");
      if (kept && value.text === offered.text && same(value.span, offered.span)) return text.nothingChanged;
    }
    return "";
  }

  decide(verdict) {
    if (this.list.readOnly || !this.offered) return;
    const before = this.verdict;
    this.verdict = verdict;
    if (verdict === "corrected" && before !== "corrected") this.text = this.text || this.offered.text;
    this.error("");
    this.render();
    this.list.activate(this);
    this.list.changed();
    if (verdict === "corrected") this.refs.edit.focus();
    else if (verdict === "rejected") this.refs.reason.focus();
  }

  /** Until the language of an added clue was chosen, Han characters tell it. */
  #guessLanguage() {
    if (this.verdict !== "added" || this.languageChosen || !this.text.trim()) return;
    this.language = /\p{Script=Han}/u.test(this.text) ? "zh" : "en";
    this.refs.language.value = this.language;
    this.refs.edit.lang = this.language === "zh" ? "zh-Hans" : "en";
  }

  #language(language) {
    const texts = this.offered?.texts || {};
    if (this.offered && (this.text === this.offered.text || this.text === texts[this.language])) {
      this.text = texts[language] || this.text;
    }
    this.language = language;
    this.render();
    this.list.changed();
  }

  #spanTyped() {
    const { start, end } = this.refs;
    if (start.value === "" && end.value === "") this.setSpan(null);
    else this.setSpan([Number(start.value) || 0, end.value === "" ? Number(start.value) || 0 : Number(end.value)]);
  }

  /** Set start (0) or end (1) of the span to where the clip stands. */
  markSpan(end) {
    if (!this.editable) return;
    const now = Math.round(this.list.player.time * 1000) / 1000;
    const span = this.span ? [...this.span] : [now, now];
    span[end] = now;
    if (span[1] < span[0]) span[end ? 0 : 1] = now;
    this.setSpan(span);
  }

  setSpan(span) {
    this.span = span;
    this.error("");
    this.render();
    this.list.onFocus(this);
    this.list.changed();
  }

  play() {
    const span = this.shownSpan;
    if (span) this.list.player.playSpan(span);
  }

  get shownSpan() {
    return this.editable || !this.offered ? this.span : this.offered.span || null;
  }

  error(message) {
    this.refs.error.textContent = message;
    this.refs.error.hidden = !message;
    this.element.classList.toggle("has-error", Boolean(message));
    for (const field of [this.refs.edit, this.refs.reason]) {
      field.toggleAttribute("aria-invalid", false);
      if (message) field.setAttribute("aria-describedby", this.refs.error.id);
      else field.removeAttribute("aria-describedby");
    }
  }

  render() {
    const { refs, offered, verdict, list } = this;
    const { text } = list;
    this.element.dataset.verdict = verdict || "open";
    refs.aspectName.textContent = text.aspects[this.aspect] || text.aspects[""];
    refs.badge.textContent = verdict ? text.verdicts[verdict] : text.verdicts.open;
    refs.badge.className = `badge ${{ kept: "badge--ok", corrected: "badge--info", rejected: "badge--danger", added: "badge--info" }[verdict] || ""}`;
    const source = offered?.source;
    refs.source.textContent = offered
      ? [source?.prelabeller, source?.model, source?.prompt].filter(Boolean).join(" · ")
      : text.byYou;
    refs.source.hidden = !refs.source.textContent;
    const span = this.shownSpan;
    refs.spanPlay.hidden = !span;
    if (span) refs.spanPlay.querySelector("span").textContent = `${clock(span[0])} – ${clock(span[1])}`;
    // Text: the offered one, struck through when rejected, above its correction when corrected.
    refs.text.hidden = !offered;
    refs.text.lang = offered?.language === "zh" ? "zh-Hans" : "en";
    const other = offered?.texts?.[offered.language === "zh" ? "en" : "zh"];
    refs.other.hidden = !other;
    refs.other.textContent = other || "";
    refs.other.lang = offered?.language === "zh" ? "en" : "zh-Hans";
    refs.editor.hidden = !(verdict === "corrected" || verdict === "added");
    if (refs.edit.value !== this.text) refs.edit.value = this.text;
    refs.edit.lang = this.language === "zh" ? "zh-Hans" : "en";
    refs.language.value = this.language;
    refs.aspect.value = this.aspect;
    refs.start.value = this.span ? this.span[0] : "";
    refs.end.value = this.span ? this.span[1] : "";
    refs.spanClear.hidden = !this.span;
    refs.reasonRow.hidden = verdict !== "rejected";
    if (refs.reason.value !== this.reason) refs.reason.value = this.reason;
    refs.verdicts.hidden = !offered || list.readOnly;
    refs.remove.hidden = Boolean(offered) || list.readOnly;
    refs.keep.setAttribute("aria-pressed", String(verdict === "kept"));
    refs.correct.setAttribute("aria-pressed", String(verdict === "corrected"));
    refs.reject.setAttribute("aria-pressed", String(verdict === "rejected"));
    for (const field of this.element.querySelectorAll("textarea, input, select")) field.disabled = list.readOnly;
    for (const button of [refs.startHere, refs.endHere, refs.spanClear]) button.disabled = list.readOnly;
  }
}
