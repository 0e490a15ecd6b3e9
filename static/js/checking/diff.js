// What was changed from one text to the other, by word or by character, Chinese included.

import { diffArrays } from "../../vendor/diff/array.js";

const cutters = new Map();

/** A text as the pieces that are compared: words with what stands between them, or what a reader calls a character. */
function pieces(content, language, level) {
  const key = `${language}.${level}`;
  if (!cutters.has(key)) {
    const granularity = level === "words" ? "word" : "grapheme";
    cutters.set(key, new Intl.Segmenter(language === "zh" ? "zh-Hans" : language, { granularity }));
  }
  return Array.from(cutters.get(key).segment(content), (piece) => piece.segment);
}

/** The level that suits a language: characters for Chinese, words otherwise. */
export function usualLevel(language) {
  return language === "zh" ? "characters" : "words";
}

/** The blank that both end with. */
function endingBlank(a, b) {
  const [blank] = /\s*$/.exec(a);
  return b.endsWith(blank) ? blank : "";
}

/**
 * From `a` to `b` as `[{same} | {removed, added}]`, each a text: the `same` and `removed` ones joined are `a`, the
 * `same` and `added` ones `b`. A blank between two changes belongs to them: whole phrases read better than shreds.
 */
export function changes(a, b, language, level = usualLevel(language)) {
  const parts = diffArrays(pieces(a, language, level), pieces(b, language, level));
  const found = [];
  let change = { removed: "", added: "" };
  const keep = (content) => {
    const last = found.at(-1);
    if (content && last?.same) last.same += content;
    else if (content) found.push({ same: content });
  };
  const close = () => {
    const blank = endingBlank(change.removed, change.added);
    const cut = (content) => content.slice(0, content.length - blank.length);
    if (change.removed || change.added) found.push({ removed: cut(change.removed), added: cut(change.added) });
    keep(blank);
    change = { removed: "", added: "" };
  };
  parts.forEach((part, index) => {
    const content = part.value.join("");
    if (part.removed) change.removed += content;
    else if (part.added) change.added += content;
    else if ((change.removed || change.added) && !content.trim() && index < parts.length - 1) {
      change.removed += content;
      change.added += content;
    } else {
      close();
      keep(content);
    }
  });
  close();
  return found;
}

let words = null;

/** What a screen reader says before a change; pages without words of their own say nothing. */
function spoken(name) {
  if (!words) {
    const source = document.getElementById("work-text");
    words = source ? JSON.parse(source.textContent) : {};
  }
  if (!words[name]) return "";
  const hidden = document.createElement("span");
  hidden.className = "visually-hidden";
  hidden.textContent = ` ${words[name]} `;
  return hidden;
}

function marked(tag, content) {
  const element = document.createElement(tag);
  element.append(spoken(tag === "ins" ? "inserted" : "deleted"), content);
  return element;
}

/** What is the same, with what lies further than `context` from a change left out, at a blank where one is near. */
function shortened(content, context, first, last) {
  if (first && last) return content;
  const letters = Array.from(content);
  if (letters.length <= context * (first || last ? 1 : 2) + 3) return content;
  const head = first ? "" : letters.slice(0, context).join("").replace(/(\s)\S{0,9}$/, "$1");
  const tail = last ? "" : letters.slice(-context).join("").replace(/^\S{0,9}(\s)/, "$1");
  return `${head}…${tail}`;
}

/**
 * A fragment that shows what was changed from `a` to `b` with `<del>` and `<ins>`; `context` is how many characters
 * of what stayed the same stand beside each change.
 */
export function diffNodes(a, b, language, level = usualLevel(language), { context = Infinity } = {}) {
  const fragment = document.createDocumentFragment();
  const found = changes(a, b, language, level);
  found.forEach(({ same, removed, added }, index) => {
    if (same) fragment.append(shortened(same, context, index === 0, index === found.length - 1));
    if (removed) fragment.append(marked("del", removed));
    if (added) fragment.append(marked("ins", added));
  });
  return fragment;
}
