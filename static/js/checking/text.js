// The description in two languages, and how far they are in step: what is edited is one's own, and the other language
// falls behind until it is translated anew, confirmed as it is, brought along by hand, or left empty.

const LANGUAGES = ["zh", "en"];
export const otherOf = (language) => (language === "zh" ? "en" : "zh");

/** Actions of the table of shortcuts -> functions. */
export function textActions(editor) {
  return {
    "description-zh": () => editor.refs.descriptionZh.focus(),
    "description-en": () => editor.refs.descriptionEn.focus(),
    labels: () => (editor.language === "zh" ? editor.ovZh : editor.ovEn).input.focus(),
    summarise: () => editor.summarise(),
    translate: () => editor.translate(),
  };
}

export class Descriptions {
  constructor(refs, { text, onChange }) {
    this.refs = refs;
    this.text = text;
    this.fields = { zh: refs.descriptionZh, en: refs.descriptionEn };
    this.marks = { zh: refs.stateZh, en: refs.stateEn };
    this.states = {};
    for (const language of LANGUAGES) {
      this.fields[language].addEventListener("input", () => {
        this.#edited(language);
        onChange();
      });
      this.fields[language].addEventListener("change", () => !this.stale && this.#inStep());
      this.#grow(this.fields[language]);
    }
    refs.keepDraft.addEventListener("click", ({ detail }) => {
      for (const language of LANGUAGES) if (this.states[language] === "machine") this.states[language] = "confirmed";
      this.#draw();
      if (!detail) this.fields[LANGUAGES.find((language) => this.states[language]) || "en"].focus(); // by a key: the button is gone
      onChange();
    });
  }

  /** A field is high while one is in it; low again only when a click has landed, or that would miss what it aims at. */
  #grow(field) {
    field.addEventListener("focus", () => field.classList.add("is-open"));
    field.addEventListener("blur", () => setTimeout(() => field === document.activeElement || field.classList.remove("is-open"), 400));
  }

  /** Show what a body says; `origin` names who drafted what was not written by a person. */
  put(body, origin = this.origin) {
    this.origin = origin;
    for (const language of LANGUAGES) {
      const written = body?.description?.[language] || "";
      if (this.fields[language].value !== written) this.#write(language, written);
    }
    this.states = {};
    for (const language of LANGUAGES) {
      if (this.fields[language].value.trim()) this.states[language] = body?.translation?.[language] || "own";
    }
    this.#inStep();
    if (this.stale) this.step[otherOf(this.stale)] = null; // it was changed since, how much is not known
    this.#draw();
  }

  /** Set a field from outside; the caret of who is in it stays after the same words. */
  #write(language, written) {
    const field = this.fields[language];
    const caret = document.activeElement === field ? [field.selectionEnd, field.value] : null;
    field.value = written;
    if (!caret) return;
    const [at, before] = caret;
    let same = 0;
    while (same < before.length - at && before[before.length - 1 - same] === written[written.length - 1 - same]) same += 1;
    const place = Math.max(0, written.length - same);
    field.setSelectionRange(place, place);
  }

  lock(readOnly) {
    for (const language of LANGUAGES) this.fields[language].readOnly = readOnly;
    this.readOnly = readOnly;
    this.#draw();
  }

  get value() {
    return { zh: this.fields.zh.value, en: this.fields.en.value };
  }

  get translation() {
    return Object.fromEntries(LANGUAGES.filter((language) => this.states[language]).map((language) => [language, this.states[language]]));
  }

  /** The language that is behind, or null. */
  get stale() {
    return LANGUAGES.find((language) => this.states[language] === "stale") || null;
  }

  /** The language that a translation would be written in: the one behind, else the empty one; null without either. */
  get wanting() {
    if (this.stale) return this.stale;
    const written = LANGUAGES.filter((language) => this.fields[language].value.trim());
    return written.length === 1 ? otherOf(written[0]) : null;
  }

  #inStep() {
    this.step = { ...this.value, states: { ...this.states } };
  }

  #edited(language) {
    const other = otherOf(language);
    const texts = this.value;
    if (texts[language].trim()) this.states[language] = "own";
    else delete this.states[language];
    if (texts[other].trim() && texts[other] === this.step[other]) {
      if (texts[language] === this.step[language]) this.states = { ...this.step.states };
      else if (texts[language].trim() && this.step[language]?.trim() !== "") this.states[other] = "stale"; // first words bring it along
      else if (this.states[other] === "stale") this.states[other] = "own";
    }
    this.#draw();
  }

  /** A text by a model in the place of what stands there. */
  machine(texts, origin) {
    this.origin = origin;
    for (const [language, written] of Object.entries(texts)) {
      if (!written) continue;
      this.#write(language, written);
      this.states[language] = "machine";
    }
    this.#inStep();
    this.#draw();
  }

  append(language, sentence) {
    const field = this.fields[language];
    const before = field.value.trimEnd();
    field.value = before ? `${before}${language === "zh" ? "" : " "}${sentence}` : sentence;
    this.#edited(language);
  }

  confirm(language) {
    this.states[language] = "confirmed";
    this.#inStep();
    this.#draw();
  }

  clear(language) {
    this.fields[language].value = "";
    delete this.states[language];
    this.#inStep();
    this.#draw();
  }

  #draw() {
    const { refs, text } = this;
    for (const language of LANGUAGES) {
      const state = this.states[language] || "";
      this.marks[language].textContent = state && state !== "own" ? text.states[state] : "";
      this.marks[language].dataset.state = state;
      this.fields[language].classList.toggle("is-stale", state === "stale");
    }
    const drafted = LANGUAGES.some((language) => this.states[language] === "machine");
    refs.drafted.hidden = !drafted || this.readOnly;
    if (drafted) refs.draftedBy.textContent = text.draftedBy.replace("%s", text.sources[this.origin] || this.origin || text.sources.llm);
  }
}
