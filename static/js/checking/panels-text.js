// A body or a record laid out to be read.

import { text } from "./page.js";

export function element(tag, className, content = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = content;
  return made;
}

const LANG = { zh: "zh-Hans", en: "en" };
const LEVEL = { kept: "badge--ok", corrected: "badge--info", rejected: "badge--danger", added: "badge--info" };

/** Description, OV labels and clues of `record` (or of a body: it has the same keys), as nodes. */
export function recordNodes(record) {
  const nodes = [];
  for (const language of ["zh", "en"]) {
    const said = record.subtitle?.[language];
    if (said) nodes.push(Object.assign(element("p", "muted small", `“${said}”`), { lang: LANG[language] }));
  }
  nodes.push(element("h3", "", text.descriptionHead));
  const told = ["zh", "en"].filter((language) => record.description?.[language]);
  for (const language of told) nodes.push(Object.assign(element("p", "pre-line", record.description[language]), { lang: LANG[language] }));
  if (!told.length) nodes.push(element("p", "muted", text.nothingWritten));
  const labels = element("div", "cluster");
  for (const language of ["zh", "en"]) {
    for (const label of record.ov_labels?.[language] || []) {
      labels.append(Object.assign(element("span", "badge", label), { lang: LANG[language] }));
    }
  }
  if (labels.children.length) nodes.push(element("h3", "", text.labelsHead), labels);
  const clues = Array.isArray(record.clues) ? record.clues : [];
  if (clues.length) {
    const list = element("ul", "list-plain");
    for (const clue of clues) {
      const item = element("li", "");
      item.append(element("span", `badge ${LEVEL[clue.verdict] || ""}`, text.verdicts[clue.verdict] || clue.verdict), " ");
      item.append(Object.assign(element("span", "pre-line", clue.text), { lang: LANG[clue.language] || "" }));
      const before = clue.verdict === "corrected" && clue.prelabel?.text;
      if (before && before !== clue.text) item.append(" ", element("del", "muted", before));
      list.append(item);
    }
    nodes.push(element("h3", "", text.clueVerdicts), list);
  }
  return nodes;
}
