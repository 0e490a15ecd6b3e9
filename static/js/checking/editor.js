// What one says about a clip: clues, description in two languages, OV labels, label. Shared by checking and review.

import { Chips } from "./chips.js";
import { ClueList } from "./clues.js";

export class Editor {
  constructor(refs, { text, player, language, onChange }) {
    this.language = language; // of what one adds, unless one says otherwise
    this.refs = refs;
    this.text = text;
    this.onChange = onChange;
    this.undo = null;
    this.readOnly = false;
    const changed = () => {
      this.clearErrors(false);
      onChange();
    };
    this.clues = new ClueList(refs.clues, refs.clueCard, {
      text,
      player,
      onChange,
    });
    const chips = { removeText: text.removeLabel, onChange: changed };
    this.ovZh = new Chips(refs.ovZh, chips);
    this.ovEn = new Chips(refs.ovEn, chips);
    for (const field of this.#fields()) field.addEventListener("input", changed);
    for (const input of [this.ovZh.input, this.ovEn.input]) input.addEventListener("input", () => onChange());
    for (const button of refs.clues.querySelectorAll("[data-add]")) {
      button.addEventListener("click", () => this.addClue(button.dataset.add));
    }
    refs.undo.addEventListener("click", () => this.takeBack());
    refs.useSuggestion.addEventListener("click", () => this.replaceText(this.suggestion));
  }

  #fields() {
    return [this.refs.descriptionZh, this.refs.descriptionEn, this.refs.label];
  }

  /** Show a claim with `body` (a draft, an annotation, or null for a fresh start). */
  load(claim, body, readOnly = false) {
    this.readOnly = readOnly;
    this.claim = claim;
    this.clues.load(claim.clues, body, readOnly, { mode: claim.mode || "" });
    this.refs.descriptionZh.value = body?.description?.zh || "";
    this.refs.descriptionEn.value = body?.description?.en || "";
    this.ovZh.value = body?.ov_labels?.zh || [];
    this.ovEn.value = body?.ov_labels?.en || [];
    this.refs.label.value = body?.label ?? "";
    for (const field of this.#fields()) field.readOnly = readOnly;
    this.ovZh.lock(readOnly);
    this.ovEn.lock(readOnly);
    for (const button of this.refs.clues.querySelectorAll("[data-add]")) button.hidden = readOnly;
    this.suggestion = claim.suggestion || null;
    this.#forget();
    this.#suggest();
    this.clearErrors();
  }

  /** Show a body of this claim again (undo, redo). */
  restore(body) {
    this.load(this.claim, body, this.readOnly);
  }

  get value() {
    const body = {
      clues: this.clues.value,
      description: { zh: this.refs.descriptionZh.value, en: this.refs.descriptionEn.value },
      ov_labels: { zh: this.ovZh.value, en: this.ovEn.value },
    };
    const label = this.refs.label.value.trim();
    if (label) body.label = label;
    return body;
  }

  get hasText() {
    const { description, ov_labels: ov } = this.value;
    return Boolean(description.zh.trim() || description.en.trim() || ov.zh.length || ov.en.length);
  }

  addClue(modality) {
    if (!this.readOnly) this.clues.add(modality, this.language);
  }

  /** Put a summary in the fields; what stood there can be taken back. */
  replaceText({ description, ov_labels: ov }) {
    const { refs } = this;
    this.undo = this.value;
    if (description?.zh || description?.en) {
      refs.descriptionZh.value = description.zh || "";
      refs.descriptionEn.value = description.en || "";
    }
    if (ov?.zh?.length || ov?.en?.length) {
      this.ovZh.value = ov.zh || [];
      this.ovEn.value = ov.en || [];
    }
    refs.undo.hidden = false;
    this.clearErrors(false);
    this.#suggest();
    this.onChange();
  }

  /** Say beside the description where its proposal came from. */
  summarySource(source, note = "") {
    this.refs.summarySource.textContent = source;
    this.refs.summaryNote.textContent = note;
    this.refs.summaryNote.hidden = !note;
  }

  takeBack() {
    if (!this.undo) return;
    const { description, ov_labels: ov } = this.undo;
    this.refs.descriptionZh.value = description.zh;
    this.refs.descriptionEn.value = description.en;
    this.ovZh.value = ov.zh;
    this.ovEn.value = ov.en;
    this.#forget();
    this.#suggest();
    this.onChange();
    this.refs.descriptionEn.focus();
  }

  #forget() {
    this.undo = null;
    this.refs.undo.hidden = true;
    this.summarySource("");
  }

  #suggest() {
    this.refs.useSuggestion.hidden = this.readOnly || !this.suggestion || this.hasText;
  }

  clearErrors(cards = true) {
    if (cards) this.clues.clearErrors();
    for (const key of ["descriptionError", "ovError", "labelError", "formError"]) {
      this.refs[key].textContent = "";
      this.refs[key].hidden = true;
    }
    for (const field of this.#fields()) field.removeAttribute("aria-invalid");
  }

  #complain(key, message, field) {
    this.refs[key].textContent = message;
    this.refs[key].hidden = !message;
    field?.setAttribute("aria-invalid", "true");
    return field || this.refs[key];
  }

  /** Say at each place what is missing; returns whether all is well. */
  check() {
    this.clearErrors();
    let first = null;
    for (const card of this.clues.ordered()) {
      const problem = card.problem();
      card.error(problem);
      if (problem) first ??= card.element;
    }
    const { description } = this.value;
    if (!description.zh.trim() && !description.en.trim()) {
      const field = this.#complain("descriptionError", this.text.needsDescription, this.refs.descriptionZh);
      first ??= field;
    }
    this.#show(first);
    return first === null;
  }

  /**
   * Show what the server found wrong. `errors` is `{place: message}`; a place names a clue by its position in
   * `sent.clues` (`clues[0].text`) or by its id (`clues[id=17].verdict`), or a field of the body.
   */
  showErrors(message, errors, sent) {
    this.clearErrors();
    let first = null;
    const rest = [];
    for (const [place, said] of flatten(errors || {})) {
      const card = this.#cardAt(place, sent);
      let shown = card?.element;
      if (card) card.error(said);
      else if (place.startsWith("description")) {
        const field = place.endsWith("en") ? "descriptionEn" : "descriptionZh";
        shown = this.#complain("descriptionError", said, this.refs[field]);
      } else if (place.startsWith("ov_labels")) shown = this.#complain("ovError", said);
      else if (place.startsWith("label")) shown = this.#complain("labelError", said, this.refs.label);
      else rest.push(said);
      first ??= shown;
    }
    if (rest.length || !first) this.#complain("formError", [message, ...rest].filter(Boolean).join(" "));
    this.#show(first || this.refs.formError);
  }

  #cardAt(place, sent) {
    const match = /^clues\W*(id=)?(\d+)/.exec(place);
    if (!match) return null;
    const number = Number(match[2]);
    if (match[1]) return this.clues.cards.find((card) => card.offered?.id === number);
    const clue = sent.clues[number];
    return clue && this.clues.ordered().filter((card) => card.verdict)[number];
  }

  #show(element) {
    if (!element) return;
    element.scrollIntoView({ block: "center" });
    element.focus?.({ preventScroll: true });
  }
}

/** `{"clues": {"0": {"text": ["…"]}}}` and `{"clues.0.text": "…"}` alike become `["clues.0.text", "…"]` pairs. */
function flatten(errors, prefix = "") {
  return Object.entries(errors).flatMap(([key, value]) => {
    const place = prefix ? `${prefix}.${key}` : key;
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) return [[place, value.join(" ")]];
    if (value && typeof value === "object") return flatten(value, place);
    return [[place, String(value)]];
  });
}
