// One clue as a card: what was offered, what one says about it, its span. Folded to a line or two unless it is the
// active one.

import { showChips } from "../gate.js";
import { drawCard, drawGateSum } from "./cards-face.js";
import { Kinds } from "./cards-kinds.js";
import { Reasons } from "./cards-reasons.js";
import { usualLevel } from "./diff.js";

const round = (seconds) => Math.max(0, Math.round(seconds * 1000) / 1000);
const same = (a, b) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);

export class Card {
  /** `offered` is a clue of the claim (null: added by hand), `said` what a body says about it. */
  constructor(list, offered, said) {
    Object.assign(this, { list, offered, number: 0, rivals: [], was: null });
    this.key = offered ? `clue-${offered.id}` : `clue-new-${++list.added}`;
    this.element = list.template.content.firstElementChild.cloneNode(true);
    this.refs = {};
    for (const element of this.element.querySelectorAll("[data-ref]")) this.refs[element.dataset.ref] = element;
    this.reasons = new Reasons(this);
    this.kinds = new Kinds(this);
    this.#assume(said);
    this.#wire();
    const gate = offered?.gate || [];
    showChips(this.refs.gate, gate, list.text.gate, (span) => list.playSpan(span));
    drawGateSum(this.refs.gateSum, gate, list.text);
    if (offered) this.refs.edit.maxLength = Math.max(4000, offered.text.length);
  }

  #assume(said) {
    const source = said || this.offered;
    this.modality = this.offered ? this.offered.modality : source.modality;
    this.aspect = source.aspect || "";
    this.language = source.language;
    this.text = source.text;
    this.span = source.span || null;
    this.verdict = said ? said.verdict : null;
    this.reason = said?.reason || "";
    this.was = null;
  }

  /** Take over what another state of the work says about this clue; the caret stays where it can. */
  take(said) {
    const { edit } = this.refs;
    const caret = document.activeElement === edit ? [edit.selectionStart, edit.selectionEnd] : null;
    this.#assume(said);
    this.error("");
    this.render();
    if (caret && !edit.closest("[hidden]")) edit.setSelectionRange(...caret);
  }

  #wire() {
    const { refs, list, element } = this;
    element.id = this.key;
    refs.error.id = `${this.key}-error`;
    refs.text.id = `${this.key}-text`;
    refs.diff.id = `${this.key}-diff`;
    element.setAttribute("aria-describedby", `${refs.text.id} ${refs.diff.id}`);
    element.addEventListener("click", (event) => this.#clicked(event));
    element.addEventListener("keydown", (event) => this.#escape(event));
    const folded = (event) => event.detail > 0 && list.active !== this;
    refs.keep.addEventListener("click", (event) => (folded(event) ? this.decide("kept") : this.keep()));
    refs.correct.addEventListener("click", () => this.correct());
    refs.reject.addEventListener("click", () => this.reject());
    refs.choose.addEventListener("click", () => this.chooseOnly());
    refs.keepSame.addEventListener("click", () => this.keep());
    refs.remove.addEventListener("click", () => list.removeAdded(this));
    refs.level.addEventListener("click", () => list.nextLevel());
    refs.edit.addEventListener("input", () => this.#typed());
    refs.edit.addEventListener("keydown", (event) => this.#enter(event));
    refs.language.addEventListener("change", () => {
      this.languageChosen = true;
      this.#translate(refs.language.value);
    });
    refs.aspect.addEventListener("change", () => {
      this.aspect = refs.aspect.value;
      this.#drawn();
    });
    for (const end of [0, 1]) {
      refs[end ? "end" : "start"].addEventListener("change", () => this.#spanTyped());
      refs[end ? "endHere" : "startHere"].addEventListener("click", () => this.markSpan(end));
    }
    refs.spanFields.addEventListener("focusout", (event) => {
      if (!refs.spanFields.contains(event.relatedTarget) && this.editable) this.#spanTyped({ left: true });
    });
    refs.spanClear.addEventListener("click", () => this.changeSpan(null));
    refs.spanPlay.addEventListener("click", () => this.play());
  }

  get editable() {
    return !this.list.readOnly && (this.verdict === "corrected" || this.verdict === "added");
  }

  /** Who drafted it, "" when that is not told. */
  get source() {
    const { prelabeller, model, prompt } = this.offered?.source || {};
    return [prelabeller, model, prompt].filter(Boolean).join(" · ");
  }

  /** What was offered, in the language that is now worked in. */
  get original() {
    const { offered, language } = this;
    if (!offered) return "";
    return language === offered.language ? offered.text : (offered.texts?.[language] ?? offered.text);
  }

  get choosing() {
    return this.reasons.asked;
  }

  get diffLevel() {
    const usual = usualLevel(this.language);
    return { usual, other: usual === "words" ? "characters" : "words", off: "off" }[this.list.level];
  }

  /** Corrected, but nothing differs from what was offered. */
  get unchanged() {
    if (this.verdict !== "corrected") return false;
    const { offered, value } = this;
    const kind = value.language === offered.language && value.aspect === (offered.aspect || "");
    return kind && value.text === offered.text.trim() && same(value.span, offered.span);
  }

  /** As a clue of the body: kept and rejected ones are the offered ones to the letter. */
  get value() {
    const { modality, aspect, language, text, span, verdict, offered } = this;
    if (verdict === "added") return { modality, aspect, language, text: text.trim(), span, verdict };
    const { id } = offered;
    if (verdict === "corrected") return { id, modality, aspect, language, text: text.trim(), span, verdict };
    const given = { aspect: offered.aspect || "", language: offered.language, text: offered.text };
    const why = verdict === "rejected" && this.reason.trim() ? { reason: this.reason.trim() } : {};
    return { id, modality, ...given, span: offered.span || null, verdict, ...why };
  }

  /** What is wrong with this card, in words, or "". */
  problem() {
    const { text } = this.list;
    if (!this.verdict) return text.needsVerdict;
    if (this.verdict === "rejected" && this.reasons.missing) return text.needsReason;
    if (this.editable && !this.text.trim()) return text.needsText;
    if (this.editable && this.span && !(this.span[0] >= 0 && this.span[1] >= this.span[0])) return text.badSpan;
    return this.unchanged ? text.nothingChanged : "";
  }

  // ---- verdicts

  /** Keep it and go on to the next clue without a verdict. */
  keep() {
    if (this.list.readOnly) return;
    this.list.activate(this, { scroll: false });
    this.decide("kept");
    this.list.advance();
  }

  correct() {
    if (this.offered) this.decide("corrected");
    else if (!this.list.readOnly) this.#edit();
  }

  reject() {
    if (this.offered) this.decide("rejected");
    else this.list.say(this.list.text.addedStays);
  }

  /** Back to undecided; what was typed comes back when it is corrected again. */
  undecide() {
    if (this.list.readOnly || !this.offered || !this.verdict) return;
    this.verdict = null;
    this.reason = "";
    this.#drawn();
    this.element.focus({ preventScroll: true });
    this.list.say(this.list.text.undecided);
  }

  /** Keep this one of several versions (as it was corrected, if it was) and reject those beside it. */
  chooseOnly() {
    if (this.list.readOnly || !this.offered) return;
    this.list.activate(this);
    if (this.verdict !== "corrected") this.decide("kept");
    for (const card of this.rivals) {
      if (card.verdict === "rejected" && !card.reasons.missing) continue;
      card.verdict = "rejected";
      card.reason = "duplicate";
      card.error("");
      card.render();
    }
    this.list.changed();
    if (this.rivals.length) this.list.say(this.list.text.choseThis);
    this.list.advance();
  }

  decide(verdict) {
    if (this.list.readOnly || !this.offered) return;
    if (verdict === "corrected" && this.verdict !== "corrected") this.was = { verdict: this.verdict };
    this.verdict = verdict;
    const wasActive = this.list.active === this;
    this.error("");
    this.render();
    if (verdict !== "kept" || wasActive) this.list.activate(this);
    this.list.changed();
    if (verdict === "corrected") this.#edit();
    else if (verdict === "rejected") this.reasons.open();
  }

  #edit() {
    const { edit } = this.refs;
    edit.focus({ preventScroll: true });
    edit.setSelectionRange(edit.value.length, edit.value.length);
    this.element.scrollIntoView({ block: "nearest" });
  }

  // ---- keys and clicks within the card

  #clicked(event) {
    if (event.target.closest("button, input, textarea, select, label, a, .clue-editor")) return;
    if (window.getSelection()?.toString()) return;
    this.list.activate(this);
    this.element.focus({ preventScroll: true });
    if (this.shownSpan) this.list.loop(this);
  }

  /** Escape leaves a field for its card; a correction without a change and an empty new clue are taken back. */
  #escape(event) {
    if (event.key !== "Escape" || event.isComposing || event.keyCode === 229) return;
    if (event.target === this.element) return;
    event.preventDefault();
    event.stopPropagation();
    if (this.verdict === "added" && !this.text.trim() && !this.list.readOnly) {
      this.list.removeAdded(this);
      return;
    }
    if (this.unchanged && this.was) {
      this.verdict = this.was.verdict;
      this.#drawn();
    }
    this.element.focus({ preventScroll: true });
  }

  #enter(event) {
    if (event.key !== "Enter" || event.isComposing || event.keyCode === 229) return;
    if (event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const problem = this.problem();
    if (this.unchanged) this.refs.keepSame.focus();
    else if (problem) this.error(problem);
    else this.list.advance();
  }

  #typed() {
    this.text = this.refs.edit.value;
    this.#guessLanguage();
    this.#drawn();
  }

  /** Until the language of an added clue was chosen, Han characters tell it. */
  #guessLanguage() {
    if (this.verdict !== "added" || this.languageChosen || !this.text.trim()) return;
    this.language = /\p{Script=Han}/u.test(this.text) ? "zh" : "en";
  }

  #translate(language) {
    const untouched = this.offered && this.text === this.original;
    this.language = language;
    if (untouched) this.text = this.original;
    this.#drawn();
  }

  #drawn() {
    this.error("");
    this.render();
    this.list.changed();
  }

  // ---- span

  get shownSpan() {
    return this.editable || !this.offered ? this.span : this.offered.span || null;
  }

  /** One end alone waits for the other; when the fields are left, the clip's own end stands in for it. */
  #spanTyped({ left = false } = {}) {
    const [start, end] = [this.refs.start.value, this.refs.end.value];
    if ((start === "") !== (end === "") && !left) return;
    if (start === "" && end === "") this.changeSpan(null);
    else this.changeSpan([Number(start) || 0, end === "" ? Math.max(Number(start), this.#last) : Number(end)]);
  }

  get #last() {
    return round(this.list.player.duration || 0);
  }

  /** Set start (0) or end (1) of the span to where the clip stands; the other end is the clip's until it is set. */
  markSpan(end) {
    const now = round(this.list.player.time);
    const span = this.shownSpan ? [...this.shownSpan] : [0, Math.max(this.#last, now)];
    span[end] = now;
    if (span[1] < span[0]) span[end ? 0 : 1] = end ? 0 : Math.max(this.#last, now);
    this.changeSpan(span);
  }

  /** Move one end by a frame of the clip. */
  nudge(end, direction, player) {
    const span = this.shownSpan && [...this.shownSpan];
    if (!span) return this.list.say(this.list.text.noSpanYet);
    const moved = player.frameAt ? player.frameAt(span[end], direction) : span[end] + direction / 25;
    if (moved == null) return undefined;
    span[end] = round(moved);
    if (span[1] < span[0]) span[end ? 0 : 1] = span[end];
    return this.changeSpan(span);
  }

  /** Another span makes a corrected clue of an offered one; a rejected one keeps its own. */
  changeSpan(span) {
    const { list } = this;
    const next = span && span.map(round);
    if (list.readOnly || same(this.shownSpan, next)) return this.render();
    if (this.verdict === "rejected") return list.say(list.text.rejectedSpan);
    if (!this.editable) {
      this.was = { verdict: this.verdict };
      this.verdict = "corrected";
      this.text = this.original;
      list.say(list.text.spanCorrects);
    }
    this.span = next;
    this.#drawn();
    list.onFocus(this);
    if (list.looping === this.key) list.loop(this, true);
    return undefined;
  }

  setSpan(span) {
    this.changeSpan(span);
  }

  play() {
    if (this.shownSpan) this.list.loop(this);
  }

  // ---- what one sees

  error(message) {
    const { refs } = this;
    refs.error.textContent = message;
    refs.error.hidden = !message;
    this.element.classList.toggle("has-error", Boolean(message));
    for (const field of [refs.edit, refs.reason]) {
      field.toggleAttribute("aria-invalid", false);
      if (message) field.setAttribute("aria-describedby", refs.error.id);
      else field.removeAttribute("aria-describedby");
    }
  }

  numbered(number) {
    this.number = number;
    this.refs.number.textContent = number;
    this.#name();
  }

  #name() {
    const { text } = this.list;
    const verdict = text.verdicts[this.verdict || "open"];
    const aspect = this.aspect && text.aspects[this.aspect];
    const name = [text.clueName.replace("%s", this.number), text.modalities[this.modality], aspect, verdict];
    this.element.setAttribute("aria-label", name.filter(Boolean).join(", "));
  }

  render() {
    drawCard(this);
    this.#name();
  }
}
