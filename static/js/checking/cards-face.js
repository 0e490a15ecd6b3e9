// What a card shows of its clue: folded to a line or two, or whole where one is at work.

import { showMarked } from "../gate.js";
import { reasonWords } from "./cards-reasons.js";
import { diffNodes } from "./diff.js";
import { clock } from "./times.js";

const BADGE = { kept: "badge--ok", corrected: "badge--info", rejected: "badge--danger", added: "badge--info" };
const SIGN = { kept: "✓", corrected: "✎", rejected: "✗", added: "+" };

const lang = (language) => (language === "zh" ? "zh-Hans" : "en");

/** How many of a clue's claims the gate found right, wrong and not measurable: what a folded card says of it. */
export function drawGateSum(target, verdicts, text) {
  const { signs, verdicts: names } = text.gate;
  const counts = Object.keys(signs).map((name) => [name, verdicts.filter((item) => item.verdict === name).length]);
  const found = counts.filter(([, count]) => count);
  target.replaceChildren(...found.map(([name, count]) => {
    const part = document.createElement("span");
    part.className = `clue-gate--${name}`;
    part.textContent = `${signs[name]}${count}`;
    return part;
  }));
  const words = found.map(([name, count]) => `${count} ${names[name]}`).join(", ");
  target.setAttribute("aria-label", text.gateSum.replace("%s", words));
  target.title = text.gateSum.replace("%s", words);
  target.hidden = !found.length;
}

/** Bring everything on the card up to its state; what has the focus keeps it. */
export function drawCard(card) {
  const { refs, offered, verdict, list, element } = card;
  const { text } = list;
  const active = list.active === card;
  element.dataset.verdict = verdict || "open";
  element.classList.toggle("is-active", active);
  if (active) element.setAttribute("aria-current", "true");
  else element.removeAttribute("aria-current");
  refs.aspectName.textContent = text.aspects[card.aspect] || text.aspects[""];
  refs.badge.textContent = verdict ? `${SIGN[verdict]} ${text.verdicts[verdict]}` : text.verdicts.open;
  refs.badge.className = `badge ${BADGE[verdict] || ""}`;
  refs.source.textContent = !offered ? text.byYou : card.source && text.clueSource.replace("%s", card.source);
  refs.source.hidden = !refs.source.textContent;
  refs.why.textContent = verdict === "rejected" ? reasonWords(card.reason, text) : "";
  refs.why.hidden = !refs.why.textContent;
  drawText(card, active);
  drawSpan(card);
  refs.verdicts.hidden = !offered || list.readOnly;
  refs.remove.hidden = Boolean(offered) || list.readOnly;
  refs.choose.hidden = !card.rivals.length;
  for (const [name, is] of [["keep", "kept"], ["correct", "corrected"], ["reject", "rejected"]]) {
    refs[name].setAttribute("aria-pressed", String(verdict === is));
    refs[name].tabIndex = active ? 0 : -1; // a folded card is one stop of the Tab key
  }
  refs.spanPlay.tabIndex = active ? 0 : -1;
  card.reasons.render();
  card.kinds.render();
  for (const field of element.querySelectorAll("textarea, input, select")) field.disabled = list.readOnly;
}

/** The text as offered, with the words marked that the gate found; when corrected, what was changed instead. */
function drawText(card, active) {
  const { refs, offered, verdict, list } = card;
  const editing = verdict === "corrected" || verdict === "added";
  const edited = verdict === "corrected" && card.text.trim() !== card.original.trim();
  const level = card.diffLevel;
  const diff = edited && level !== "off";
  refs.diff.hidden = !diff;
  refs.diff.lang = lang(card.language);
  const context = active ? Infinity : card.language === "zh" ? 20 : 40; // a folded card has room for what was changed, not for the rest
  refs.diff.replaceChildren(diff ? diffNodes(card.original, card.text.trim(), card.language, level, { context }) : "");
  const own = verdict === "added" || (edited && !active);
  refs.text.hidden = diff || (verdict === "added" && active);
  refs.text.lang = lang(own ? card.language : offered.language);
  if (own) refs.text.textContent = card.text;
  else showMarked(refs.text, offered.text, offered.gate || [], list.text.gate);
  const second = (editing ? card.language : offered.language) === "zh" ? "en" : "zh";
  const other = second === offered?.language ? offered.text : offered?.texts?.[second];
  refs.other.hidden = !other;
  refs.other.textContent = other || "";
  refs.other.lang = lang(second);
  refs.stale.hidden = !other || !edited;
  refs.editor.hidden = !editing;
  if (refs.edit.value !== card.text) refs.edit.value = card.text;
  refs.edit.lang = lang(card.language);
  refs.language.value = card.language;
  refs.aspect.value = card.aspect;
  refs.aspectField.hidden = verdict === "added";
  refs.same.hidden = !card.unchanged || list.readOnly;
  refs.level.hidden = !edited;
  refs.level.textContent = list.text.diffLevels[level];
}

function drawSpan(card) {
  const { refs, list } = card;
  const span = card.shownSpan;
  refs.spanPlay.hidden = !span;
  if (span) refs.spanText.textContent = `${clock(span[0])} – ${clock(span[1])}`;
  refs.start.value = card.span ? card.span[0] : "";
  refs.end.value = card.span ? card.span[1] : "";
  refs.spanClear.hidden = !card.span;
  for (const button of [refs.startHere, refs.endHere, refs.spanClear]) button.disabled = list.readOnly;
}
