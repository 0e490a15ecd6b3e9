// What stands in the cells of the review's table: clues with what was changed of their pre-label, texts, labels, fields.

import { showChips, showMarked } from "../gate.js";
import { diffNodes } from "./diff.js";
import { clock } from "./times.js";
import { groupOf, LANGUAGES } from "./review-merge.js";

const LEVEL = { kept: "badge--ok", corrected: "badge--info", rejected: "badge--danger", added: "badge--info" };
const LANG = { zh: "zh-Hans", en: "en" };

export function make(tag, className = "", content = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (content) element.textContent = content;
  return element;
}

function inLanguage(language, ...content) {
  const paragraph = make("p", "pre-line");
  paragraph.lang = LANG[language] || "";
  paragraph.append(...content);
  return paragraph;
}

/** The drafted text in the language that a clue was checked in. */
function drafted(offered, language) {
  return offered.language === language ? offered.text : (offered.texts?.[language] ?? offered.text);
}

function spanButton(span, text, play) {
  const button = make("button", "span-chip", `▶ ${clock(span[0])} – ${clock(span[1])}`);
  button.type = "button";
  button.title = text.playSpan;
  button.addEventListener("click", () => play(span));
  return button;
}

const sameSpan = (one, other) => JSON.stringify(one ?? null) === JSON.stringify(other ?? null);

/** The reason in words: a code of the short list, or what was written. */
function reasonWords(reason, text) {
  if (reason.startsWith("other:")) return reason.slice(6).trim();
  return text.reasons?.[reason] || reason;
}

/** The head of a clue's row: number, aspect, the pre-label with its claims marked, the gate's verdicts, the source. */
export function clueHead(row, text, play) {
  const box = document.createDocumentFragment();
  const line = make("div", "row-line");
  const aspect = row.clue ? row.clue.aspect : [...row.versions.values()][0].aspect;
  line.append(make("span", "clue-number", String(row.number)), make("span", `dot dot--${row.modality}`));
  line.append(make("strong", "", text.aspects[aspect || ""] || aspect));
  box.append(line);
  if (!row.clue) {
    line.append(make("span", "badge badge--info", text.verdicts.added));
    return box;
  }
  if (row.clue.span) line.append(spanButton(row.clue.span, text, play));
  const words = inLanguage(row.clue.language);
  showMarked(words, row.clue.text, row.clue.gate || [], text.gate);
  const chips = make("ul", "gate");
  showChips(chips, row.clue.gate || [], text.gate, play);
  box.append(words, chips);
  const { source } = row.clue;
  const named = [source?.prelabeller, source?.model, source?.prompt].filter(Boolean).join(" · ");
  if (named) box.append(make("p", "muted small", named));
  return box;
}

/** What somebody decided about a clue; `row.clue` is what was offered, `first` the version an added one is held to. */
export function clueCell(clue, row, text, play, first = null) {
  const box = document.createDocumentFragment();
  const line = make("div", "row-line");
  line.append(make("span", `badge ${LEVEL[clue.verdict] || ""}`, text.verdicts[clue.verdict] || clue.verdict));
  box.append(line);
  const offered = row.clue;
  if (clue.span && (!offered || !sameSpan(clue.span, offered.span))) {
    const button = spanButton(clue.span, text, play);
    button.classList.toggle("span-chip--changed", Boolean(offered));
    line.append(button);
  } else if (offered?.span && !clue.span) line.append(make("span", "muted small", text.noSpan));
  if (offered && clue.aspect !== undefined && (clue.aspect || "") !== (offered.aspect || "")) {
    line.append(make("span", "badge", text.aspects[clue.aspect || ""] || clue.aspect));
  }
  if (clue.verdict === "rejected") box.append(make("p", "muted small", clue.reason ? reasonWords(clue.reason, text) : text.noReason));
  else if (clue.verdict === "corrected") box.append(inLanguage(clue.language, diffNodes(drafted(offered, clue.language), clue.text, clue.language)));
  else if (clue.verdict === "added" && first && first !== clue) box.append(inLanguage(clue.language, diffNodes(first.text, clue.text, clue.language)));
  else if (clue.verdict === "added") box.append(inLanguage(clue.language, clue.text));
  if (clue.verdict === "corrected" && clue.reason) box.append(make("p", "muted small", reasonWords(clue.reason, text)));
  return box;
}

/** A description; beside another one, what is different in it. */
export function textCell(words, language, text, other = null) {
  if (!words) return make("p", "muted small", text.noDescription);
  if (other == null || other === words) return inLanguage(language, words);
  return inLanguage(language, diffNodes(other, words, language));
}

/**
 * OV labels as buttons that put a label into the record or take it out. `counts` says how many annotators name a
 * group of synonyms, `all` how many there are; `taken(language, label)` whether the record has it.
 */
export function labelCell(part, { text, groups, counts, all, taken, toggle }) {
  const box = make("div", "tags");
  for (const language of LANGUAGES) {
    const labels = [...part[language]].sort((a, b) => (counts.get(groupOf(b, groups)) || 0) - (counts.get(groupOf(a, groups)) || 0));
    for (const label of labels) {
      const count = counts.get(groupOf(label, groups)) || 0;
      const lone = all > 1 && count === 1;
      const tag = make("button", lone ? "tag tag--lone" : "tag", label);
      tag.type = "button";
      tag.lang = LANG[language];
      tag.setAttribute("aria-pressed", String(taken(language, label)));
      tag.title = lone ? text.onlyHere : count === all ? text.allSayIt : text.someSayIt.replace("%1", count).replace("%2", all);
      const score = part.scores?.[language]?.[label];
      if (score?.intensity) tag.append(make("span", "tag-score", `${score.intensity}/5`));
      tag.addEventListener("click", () => toggle(language, label, score));
      box.append(tag);
    }
  }
  return box.children.length ? box : make("p", "muted small", text.noLabels);
}

/** The discrete label, felt versus shown, or modalities that disagree. */
export function fieldCell(value, row, text) {
  if (value == null) return make("p", "muted small", "–");
  if (row.field === "label") return make("p", "", value);
  const parts = row.field === "display"
    ? [text.relations?.[value.relation] || value.relation, side(text.felt, value.felt), side(text.shown, value.shown)]
    : [(value.modalities || []).map((name) => text.modalities?.[name] || name).join(" ≠ "), value.note];
  const box = document.createDocumentFragment();
  for (const part of parts) if (part) box.append(make("p", "", part));
  return box;
}

const side = (name, labels) => (labels?.length ? name.replace("%s", labels.join(", ")) : "");
