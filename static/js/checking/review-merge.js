// What annotations say about a clip, cut into rows that can be compared, taken one by one and put together. No DOM.

const ORDER = ["visual", "audio", "text"];
const ALIKE = 0.5; // from here on two added clues of one modality are versions of one
export const LANGUAGES = ["zh", "en"];

const list = (value) => (Array.isArray(value) ? value : []);
const filled = (value) => value != null && value !== "" && (typeof value !== "object" || Object.keys(value).length > 0);

/** A clue as it counts in a comparison. */
function plainClue(clue) {
  if (!clue) return null;
  const { id = null, modality, aspect, language, text, span, verdict } = clue;
  const times = span ? span.map((second) => Math.round(second * 1000) / 1000) : null;
  return { id, modality, aspect: aspect || "", language, text: (text || "").trim(), span: times, verdict };
}

function plainLabels(value) {
  return Object.fromEntries(LANGUAGES.map((language) => [language, [...list(value?.[language])].sort()]));
}

function sameClues(one, other) {
  const text = (body) => list(body.clues).map((clue) => JSON.stringify(plainClue(clue))).sort().join("\n");
  return text(one) === text(other);
}

/** Dice's coefficient over the pairs of neighbouring characters, 0 to 1. */
export function similarity(one, other) {
  const pairs = (text) => {
    const letters = Array.from(text.toLowerCase().replace(/[\s\p{P}]+/gu, ""));
    return letters.length < 2 ? letters : letters.slice(1).map((letter, index) => letters[index] + letter);
  };
  const [first, second] = [pairs(one), pairs(other)];
  if (!first.length || !second.length) return one === other ? 1 : 0;
  const left = [...second];
  let both = 0;
  for (const pair of first) {
    const at = left.indexOf(pair);
    if (at >= 0) {
      left.splice(at, 1);
      both += 1;
    }
  }
  return (2 * both) / (first.length + second.length);
}

/** Added clues of all annotations as `{modality, versions: Map(annotation id -> clue)}`: alike ones in one row. */
function addedRows(annotations) {
  const rows = [];
  for (const annotation of annotations) {
    for (const clue of list(annotation.body.clues)) {
      if (clue.id != null) continue;
      const near = rows
        .filter((row) => row.modality === clue.modality && !row.versions.has(annotation.id))
        .map((row) => [Math.max(...[...row.versions.values()].map((other) => similarity(other.text, clue.text))), row])
        .filter(([score]) => score >= ALIKE)
        .sort((a, b) => b[0] - a[0])[0];
      if (near) near[1].versions.set(annotation.id, clue);
      else rows.push({ modality: clue.modality, versions: new Map([[annotation.id, clue]]) });
    }
  }
  return rows;
}

/**
 * The rows of a claim on a review: `{key, kind, …}` with kind whole, clue (`clue`), added (`modality, versions`),
 * description (`language`), ov_labels, or field (`field`: label, display, conflict), in the order of the page.
 */
export function rowsOf(claim) {
  const { annotations } = claim;
  const said = (field) => annotations.some(({ body }) => filled(body[field]));
  const offered = claim.clues.map((clue) => ({ key: `clue:${clue.id}`, kind: "clue", modality: clue.modality, clue }));
  const added = addedRows(annotations).map((row, index) => ({ key: `added:${index}`, kind: "added", ...row }));
  const clues = ORDER.flatMap((modality) => [...offered, ...added].filter((row) => row.modality === modality));
  return [
    { key: "whole", kind: "whole" },
    ...clues.map((row, index) => ({ ...row, number: index + 1 })),
    ...LANGUAGES.map((language) => ({ key: `description:${language}`, kind: "description", language })),
    { key: "ov_labels", kind: "ov_labels" },
    ...["label", "display", "conflict"].filter(said).map((field) => ({ key: field, kind: "field", field })),
  ];
}

/** The added clue of `body` that stands for this row, or null. */
function addedIn(body, row, rows) {
  const own = list(body.clues).filter((clue) => clue.id == null && clue.modality === row.modality);
  const text = (clue) => JSON.stringify(plainClue(clue));
  const exact = own.find((clue) => [...row.versions.values()].some((version) => text(version) === text(clue)));
  if (exact) return exact;
  const score = (clue, other) => Math.max(...[...other.versions.values()].map((one) => similarity(one.text, clue.text)));
  const rivals = rows.filter((other) => other.kind === "added" && other.modality === row.modality);
  return own.find((clue) => {
    const mine = score(clue, row);
    return mine >= ALIKE && rivals.every((other) => other === row || score(clue, other) < mine);
  }) ?? null;
}

/** What `body` says in a row: a clue, a text, `{zh, en, scores}`, a field's value; null where it says nothing. */
export function partOf(body, row, rows) {
  switch (row.kind) {
    case "whole":
      return body;
    case "clue":
      return list(body.clues).find((clue) => clue.id === row.clue.id) ?? null;
    case "added":
      return addedIn(body, row, rows);
    case "description":
      return body.description?.[row.language] || "";
    case "ov_labels":
      return { zh: list(body.ov_labels?.zh), en: list(body.ov_labels?.en), scores: body.ov_scores || {} };
    default:
      return filled(body[row.field]) ? body[row.field] : null;
  }
}

/** What an annotation says in a row; an added clue is its own version of it. */
export function partFrom(annotation, row, rows) {
  return row.kind === "added" ? (row.versions.get(annotation.id) ?? null) : partOf(annotation.body, row, rows);
}

/** Whether two parts of one row say the same. */
export function samePart(row, one, other) {
  if (row.kind === "whole") return sameBody(one, other);
  if (row.kind === "clue" || row.kind === "added") {
    return JSON.stringify(plainClue(one)) === JSON.stringify(plainClue(other));
  }
  if (row.kind === "description") return (one || "").trim() === (other || "").trim();
  if (row.kind === "ov_labels") return JSON.stringify(plainLabels(one)) === JSON.stringify(plainLabels(other));
  return stable(one) === stable(other);
}

/** The same text for the same content: keys in order, what says nothing left out. */
function stable(value) {
  return JSON.stringify(pruned(value) ?? null);
}

function pruned(value) {
  if (!value || typeof value !== "object" || Array.isArray(value)) return value;
  const entries = Object.entries(value).map(([key, item]) => [key, pruned(item)]).filter(([, item]) => filled(item));
  return entries.length ? Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1))) : null;
}

/** Whether two bodies make the same record; replies and how they were made do not count. */
export function sameBody(one, other) {
  const texts = LANGUAGES.every((language) => (one.description?.[language] || "").trim() === (other.description?.[language] || "").trim());
  const fields = ["label", "display", "conflict", "ov_scores"].every((field) => stable(one[field] || null) === stable(other[field] || null));
  const labels = JSON.stringify(plainLabels(one.ov_labels)) === JSON.stringify(plainLabels(other.ov_labels));
  return texts && fields && labels && sameClues(one, other);
}

/** `body` with this part in the row's place; null takes an added clue out. */
export function withPart(body, row, part, rows) {
  switch (row.kind) {
    case "whole":
      return structuredClone(part);
    case "clue":
      return part ? { ...body, clues: [...list(body.clues).filter((clue) => clue.id !== row.clue.id), part] } : body;
    case "added": {
      const here = addedIn(body, row, rows);
      const clues = list(body.clues).filter((clue) => clue !== here);
      return { ...body, clues: part ? [...clues, part] : clues };
    }
    case "description":
      return { ...body, description: { ...body.description, [row.language]: part } };
    case "ov_labels":
      return withLabels(body, part);
    default: {
      const { [row.field]: _gone, ...rest } = body;
      return part == null ? rest : { ...rest, [row.field]: part };
    }
  }
}

/** `body` with these labels and their scores; scores of labels that are gone go with them. */
function withLabels(body, { zh, en, scores }) {
  const labels = { zh: [...zh], en: [...en] };
  const known = {};
  for (const language of LANGUAGES) {
    for (const label of labels[language]) {
      const score = scores?.[language]?.[label];
      if (score) known[language] = { ...known[language], [label]: score };
    }
  }
  const { ov_scores: _gone, ...rest } = body;
  return { ...rest, ov_labels: labels, ...(Object.keys(known).length ? { ov_scores: known } : {}) };
}

/**
 * A merge needs a verdict on every clue that anybody judged: those that are missing are taken from the first who has
 * one. A body that keeps to one annotation's clues stays as it is.
 */
export function completed(body, base, claim, rows) {
  const own = new Set(list(base.body.clues).map((clue) => clue.id));
  const clues = list(body.clues).filter((clue) => clue.id != null);
  if (clues.every((clue) => own.has(clue.id))) return body;
  const have = new Set(clues.map((clue) => clue.id));
  const missing = rows.filter((row) => row.kind === "clue" && !have.has(row.clue.id));
  const found = missing.map((row) => claim.annotations.map((each) => partOf(each.body, row, rows)).find(Boolean));
  return { ...body, clues: [...list(body.clues), ...found.filter(Boolean)] };
}

/** The group of synonyms that a label belongs to; an unknown word is a group of its own. */
export function groupOf(label, groups) {
  const word = label.trim().toLowerCase();
  return groups[word] ?? word;
}

/** Groups of synonyms -> how many annotations name one of them. */
export function labelCounts(annotations, groups) {
  const counts = new Map();
  for (const { body } of annotations) {
    const named = new Set(LANGUAGES.flatMap((language) => list(body.ov_labels?.[language])).map((label) => groupOf(label, groups)));
    for (const group of named) counts.set(group, (counts.get(group) || 0) + 1);
  }
  return counts;
}

/**
 * Labels of all annotations together: each word once, of those groups that at least `least` annotations name. A word's
 * scores are those of the first who gave some.
 */
export function gathered(annotations, groups, least) {
  const counts = labelCounts(annotations, groups);
  const found = { zh: [], en: [], scores: {} };
  for (const { body } of annotations) {
    for (const language of LANGUAGES) {
      for (const label of list(body.ov_labels?.[language])) {
        if (counts.get(groupOf(label, groups)) < least) continue;
        if (!found[language].includes(label)) found[language].push(label);
        const score = body.ov_scores?.[language]?.[label];
        if (score && !found.scores[language]?.[label]) found.scores[language] = { ...found.scores[language], [label]: score };
      }
    }
  }
  return found;
}

/** More than half of so many. */
export function majorityOf(count) {
  return Math.floor(count / 2) + 1;
}
