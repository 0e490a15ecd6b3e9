// Which clue a sentence of a description rests on: the rule of annotator/checking/sentences.py (both are tested with
// tests/annotator/checking/sentence_cases.json), and the strip below a field that shows it.

const THRESHOLD = 0.5;
const OPEN = "sentences-open"; // how the person likes the strip

/** What the browser keeps of that, after `now` was said; false where it keeps nothing. */
function opened(now = null) {
  try {
    if (now !== null) localStorage.setItem(OPEN, now ? "1" : "0");
    return localStorage.getItem(OPEN) === "1";
  } catch {
    return false;
  }
}

// Where a sentence may end: its marks, then the quotes and brackets that they close.
const END = {
  zh: /([。！？；!?;]+)([”’」』）)》】"]*)|(?<=[\u3400-\u9fff])(\.)(?=[\s\u3400-\u9fff]|$)/gu,
  en: /([.!?;…]+)(["'”’)\]]*)(?=\s)/gu,
};
const GOES_ON = /^[，、：,:]/; // behind a Chinese quotation
const TITLES = new Set("mr mrs ms dr prof st vs e.g i.e cf approx".split(" "));
const NUMBERED = new Set("no nos fig p pp".split(" ")); // with the number that follows
const OPENING = {
  visual: /在视频|从视频|画面中|\bin the video\b|\bvisually\b/i,
  audio: /在音频|从音频|\bin the audio\b|\btone of voice\b/i,
  text: /在文本|字幕|\bin the text\b|\bsubtitle\b/i,
};
const COMMON = new Set(
  "the a an of in is are was and or to with that this it its on at for his her their he she".split(" "),
);

/** The sentences in order, without surrounding blanks. */
export function split(text, language) {
  const found = [];
  for (const line of text.split("\n")) {
    let start = 0;
    for (const match of line.matchAll(END[language])) {
      const end = endOf(line, start, match, language);
      if (end === null) continue;
      found.push(line.slice(start, end));
      start = end;
    }
    found.push(line.slice(start));
  }
  return found.map((part) => part.trim()).filter(Boolean);
}

/** Where the sentence from `start` ends by these marks; null where it goes on. */
function endOf(line, start, match, language) {
  const [marks, closing] = [match[1] || match[3] || "", match[2] || ""];
  const whole = match.index + match[0].length;
  if (language === "zh") {
    let end = match.index + marks.length;
    for (const sign of closing) {
      if (sign === '"' && line.slice(start, end).split('"').length % 2 === 1) break; // it opens the next one
      end += 1;
    }
    return GOES_ON.test(line.slice(end)) || withinQuotes(line.slice(start, end), line.slice(end)) ? null : end;
  }
  if (withinQuotes(line.slice(start, whole), line.slice(whole))) return null;
  const following = line.slice(whole).trimStart().slice(0, 1);
  const lower = /^[a-z]/.test(following);
  if (closing || marks.includes("…") || marks.includes("..")) return lower ? null : whole;
  const word = marks === "." && /[A-Za-z.]+$/.exec(line.slice(start, match.index))?.[0];
  if (!word) return whole;
  const short = word.toLowerCase();
  const goesOn = TITLES.has(short) || /^[A-HJ-Z]$/.test(word) || (NUMBERED.has(short) && /^\d/.test(following)); // an initial; "I." is a word
  return goesOn || (lower && (short === "etc" || /^(?:[A-Za-z]\.)+[A-Za-z]$/.test(word))) ? null : whole;
}

/** Whether a quotation was opened that is closed only later. */
function withinQuotes(before, after) {
  const count = (sign) => before.split(sign).length - 1;
  const paired = ["“”", "「」", "『』"].some(([open, close]) => count(open) > count(close) && after.includes(close));
  return paired || (count('"') % 2 === 1 && after.includes('"'));
}

function features(text, language) {
  if (language === "en") {
    return new Set((text.toLowerCase().match(/[a-z']+|\d+(?:\.\d+)?/g) || []).filter((word) => !COMMON.has(word)));
  }
  const letters = Array.from(text.replace(/[^\p{L}\p{N}_]+/gu, ""));
  return new Set(letters.slice(0, -1).map((letter, index) => letter + letters[index + 1]));
}

function overlap(one, other) {
  if (!one.size || !other.size) return 0;
  let shared = 0;
  for (const item of one) if (other.has(item)) shared += 1;
  return shared / Math.min(one.size, other.size);
}

/**
 * Per sentence `{text, basis: "clue" | "subtitle" | "reasoning", clues: [index, …]}`; rejected clues support nothing.
 * A clue has `modality`, `language`, `text`, perhaps `texts` by language, and `verdict`.
 */
export function link(text, language, clues, subtitle) {
  const known = clues
    .map((clue, index) => ({ index, clue }))
    .filter(({ clue }) => clue.verdict !== "rejected")
    .map(({ index, clue }) => ({
      index,
      modality: clue.modality,
      own: features((clue.language === language ? clue.text : clue.texts?.[language]) || "", language),
    }));
  const spoken = features(subtitle || "", language);
  return split(text, language).map((sentence) => {
    const content = features(sentence, language);
    let found = known.filter(({ own }) => overlap(content, own) >= THRESHOLD);
    if (!found.length) found = known.filter(({ modality }) => OPENING[modality].test(sentence));
    const said = spoken.size && (overlap(content, spoken) >= THRESHOLD || OPENING.text.test(sentence));
    const basis = found.length ? "clue" : said ? "subtitle" : "reasoning";
    return { text: sentence, basis, clues: found.map(({ index }) => index) };
  });
}

/**
 * As `link` over the cards of the page, with `changed`: clues whose drafted text the sentence rests on although they
 * were rejected, or corrected to something that it says less of.
 */
export function linkCards(text, language, cards, subtitle) {
  const drafted = (card) => ({ ...card.offered, verdict: null });
  const said = (card) => ({ ...card.value, texts: null });
  const now = cards.map((card) => (card.offered && card.verdict !== "corrected" ? { ...card.offered, verdict: card.verdict } : said(card)));
  const linked = link(text, language, now, subtitle);
  const before = link(text, language, cards.map((card) => (card.offered ? drafted(card) : { ...said(card), verdict: "rejected" })), null);
  const share = (sentence, clue) => overlap(features(sentence, language), features((clue.language === language ? clue.text : clue.texts?.[language]) || "", language));
  return linked.map((sentence, place) => {
    const changed = (before[place]?.clues || []).filter((index) => {
      const card = cards[index];
      if (card.verdict === "rejected") return share(sentence.text, drafted(card)) >= THRESHOLD;
      if (card.verdict !== "corrected") return false;
      return share(sentence.text, drafted(card)) > share(sentence.text, said(card));
    });
    return { ...sentence, changed };
  });
}

/** The strip of a field: a mark per sentence with the numbers of its clues; the sentences themselves when opened. */
export class Sentences {
  /** `box` is the strip's element, `field` the textarea; `cards()` and `subtitle()` give what it is compared with. */
  constructor(box, field, language, { text, cards, subtitle, onPick }) {
    Object.assign(this, { box, field, language, text, cards, subtitle, onPick });
    box.classList.toggle("is-open", opened());
    box.addEventListener("click", (event) => {
      if (event.target.closest("[data-open]")) this.#toggle();
      else this.#pick(event.target.closest("[data-sentence]"));
    });
    for (const name of ["pointerover", "focusin"]) box.addEventListener(name, (event) => this.#light(event.target.closest("[data-sentence]")));
    for (const name of ["pointerleave", "focusout"]) box.addEventListener(name, () => this.#light(null));
  }

  draw() {
    const cards = this.cards();
    this.shown = cards;
    this.linked = linkCards(this.field.value, this.language, cards, this.subtitle());
    const worded = this.linked.map((sentence, index) => [sentence, index]).filter(([sentence]) => /[\p{L}\p{N}]/u.test(sentence.text));
    const buttons = () => [...this.box.querySelectorAll("button")];
    const at = buttons().indexOf(document.activeElement);
    this.box.hidden = !worded.length;
    this.box.replaceChildren(this.#opener(), ...worded.map(([sentence, index]) => this.#sentence(sentence, index)));
    if (at >= 0) (worded.length ? buttons()[Math.min(at, worded.length)] : this.field).focus({ preventScroll: true });
  }

  /** The sentences are spelled out, or only their marks stand in a row. */
  #opener() {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.open = "";
    button.className = "sentences-open";
    button.textContent = "¶";
    button.title = this.text.showSentences;
    button.setAttribute("aria-label", this.text.showSentences);
    button.setAttribute("aria-pressed", String(this.box.classList.contains("is-open")));
    item.append(button);
    return item;
  }

  #toggle() {
    const open = this.box.classList.toggle("is-open");
    opened(open);
    this.box.querySelector("[data-open]").setAttribute("aria-pressed", String(open));
  }

  #sentence({ text, basis, clues, changed }, index) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.sentence = index;
    button.lang = this.language === "zh" ? "zh-Hans" : "en";
    const said = document.createElement("span");
    said.className = "sentence-text";
    said.textContent = text;
    const mark = document.createElement("span");
    const numbers = clues.map((place) => place + 1);
    const lost = changed.map((place) => place + 1);
    const state = lost.length ? "changed" : basis === "reasoning" ? "none" : basis;
    mark.className = `sentence-mark sentence-mark--${state}`;
    const all = [...new Set([...numbers, ...lost])].sort((a, b) => a - b).join(" ");
    const words = { changed: this.text.restsOnChanged, none: this.text.noSupport, subtitle: this.text.restsOnSubtitle, clue: this.text.restsOn };
    const told = words[state].replace("%s", state === "changed" ? lost.join(", ") : all);
    mark.textContent = state === "none" ? "∅" : state === "subtitle" ? "❝" : `${state === "changed" ? "! " : ""}${all}`;
    button.title = `${text} — ${told}`;
    const spoken = document.createElement("span");
    spoken.className = "visually-hidden";
    spoken.textContent = told;
    mark.setAttribute("aria-hidden", "true");
    button.append(said, mark, spoken);
    item.append(button);
    return item;
  }

  /** Mark the cards that a sentence rests on. */
  #light(button) {
    const sentence = button && this.linked[Number(button.dataset.sentence)];
    const wanted = sentence ? new Set([...sentence.clues, ...sentence.changed]) : new Set();
    (this.shown || []).forEach((card, index) => card.element.classList.toggle("is-basis", wanted.has(index)));
  }

  #pick(button) {
    if (!button) return;
    const sentence = this.linked[Number(button.dataset.sentence)];
    const start = this.field.value.indexOf(sentence.text);
    if (start >= 0) this.field.setSelectionRange(start, start + sentence.text.length);
    const first = [...sentence.changed, ...sentence.clues][0];
    if (first !== undefined) this.onPick(this.shown[first]);
  }
}
