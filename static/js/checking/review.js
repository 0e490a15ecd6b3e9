// The review page: annotations side by side; take one, or parts of several, edit, then accept or return. What will be
// accepted always stands in the editor: taking a part writes it there.

import { api, ApiError, newKey, untilAnswered } from "../api.js";
import { local } from "../store.js";
import { Ahead, claimNext, claimRefused, Lease, watchEmpty } from "./claims.js";
import { History } from "./history.js";
import { announce, banner, bindKeys, clearBanners, handingIn, keymap, prefetch, refs, root, settings, show, showClip, text, workplace } from "./page.js";
import { askSkip, flag, wireDialogs } from "./panels-dialogs.js";
import { openHelp, wireHelp } from "./panels-keys.js";
import { Panels } from "./panels.js";
import { Compare } from "./review-compare.js";
import { completed, gathered, LANGUAGES, majorityOf, partFrom, sameBody, withPart } from "./review-merge.js";
import { askReturn, drawThread, wireReturn } from "./review-talk.js";
import { partActions } from "./work.js";

const words = { ...text, ...text.review };
let claim = null;
let base = null; // the annotation that was last taken as a whole
let offer = ""; // ids of the clues that the editor shows
let lease = null;
let intention = null;

const url = (rest = "") => `${settings.api}/claims/${claim.id}/${rest}`;
const { player, timeline = null, context = null, editor } = workplace({ claimUrl: () => claim && url(), onChange: () => changed() });
const play = (span) => player.loop(span);
const ahead = new Ahead("review", { media: prefetch });
const localKey = () => `review:${settings.user}:${claim.id}`;
const compare = new Compare(refs.compare, {
  text: words,
  play,
  on: { take, gather, label: toggleLabel, active: () => showSpans() },
});
const history = new History(refs.task, {
  read: () => editor.value,
  restore: (body) => put(body),
  on: {
    moved: (which, parts) => announce(text[which].replace("%s", parts.map((part) => text.parts[part]).join(", "))),
    none: (which) => announce(which === "undo" ? text.nothingToUndo : text.nothingToRedo),
    drawn: (back, forth) => {
      refs.historyUndo.disabled = !back;
      refs.historyRedo.disabled = !forth;
    },
  },
});
const panels = new Panels({ claim: () => claim, take: () => {} });

/** Something was taken or typed. */
function changed() {
  if (!claim || !base) return;
  compare.draw(editor.value);
  history.note();
  const whole = claim.annotations.find((annotation) => sameBody(annotation.body, editor.value));
  const authors = compare.authors(editor.value);
  refs.resultState.textContent = whole
    ? words.resultWhole.replace("%s", whole.annotator)
    : authors.own
      ? words.resultOwn.replace("%s", authors.names.join(", ") || "–")
      : words.resultMerged.replace("%s", authors.names.join(", "));
  refs.reset.hidden = Boolean(whole);
  keep(whole && whole === claim.annotations[0]);
  showSpans();
}

/** An unfinished decision survives a reload of the page; the server learns of it when it is made. */
function keep(untouched) {
  const note = refs.note.value;
  if (untouched && !note) local.removeItem(localKey());
  else local.setItem(localKey(), JSON.stringify({ annotation: base.id, body: editor.value, note }));
}

/** The timeline shows the spans of all annotators beside the comparison, those of the record beside the editor. */
function showSpans() {
  if (!timeline) return;
  if (editing()) return timeline.follow(editor.clues);
  editor.clues.onSpans = () => {};
  timeline.onPick = (key) => compare.pick(key);
  timeline.setSpans(compare.spans(), { draw: false });
}

/** Put a body into the editor; the offer grows with the clues that it takes from others. */
function put(body) {
  const { reply: _theirs, work: _made, ...whole } = completed(body, base, claim, compare.rows);
  const ids = new Set([...base.body.clues, ...whole.clues].map((clue) => clue.id).filter((id) => id != null));
  const name = [...ids].sort().join();
  if (name === offer) editor.restore(whole);
  else editor.load({ ...claim, mode: "", clues: claim.clues.filter((clue) => ids.has(clue.id)) }, whole);
  offer = name;
  changed();
}

async function take(row, annotation) {
  if (row.kind === "whole") return choose(annotation);
  put(withPart(editor.value, row, partFrom(annotation, row, compare.rows), compare.rows));
  announce(words.tookFrom.replace("%s", annotation.annotator));
}

function gather(least) {
  const labels = gathered(claim.annotations, compare.groups, least || majorityOf(claim.annotations.length));
  put(withPart(editor.value, { kind: "ov_labels" }, labels, compare.rows));
  announce(words.labelsNow.replace("%s", LANGUAGES.flatMap((language) => labels[language]).join(", ") || "–"));
}

function toggleLabel(language, label, score) {
  const { ov_labels: now, ov_scores: scores = {} } = editor.value;
  const has = now[language].includes(label);
  const labels = { ...now, [language]: has ? now[language].filter((other) => other !== label) : [...now[language], label] };
  const known = score && !has ? { ...scores, [language]: { ...scores[language], [label]: score } } : scores;
  put(withPart(editor.value, { kind: "ov_labels" }, { ...labels, scores: known }, compare.rows));
}

/** Take an annotation as a whole; what was put together so far can be had back by undo. */
function choose(annotation) {
  base = annotation;
  put(annotation.body);
  announce(words.tookFrom.replace("%s", annotation.annotator));
}

function pane(name) {
  const edit = name === "edit";
  refs.comparePane.hidden = edit;
  refs.editPane.hidden = !edit;
  refs.showCompare.setAttribute("aria-pressed", String(!edit));
  refs.showEdit.setAttribute("aria-pressed", String(edit));
  showSpans();
}

const editing = () => !refs.editPane.hidden;

/** A key of the editor: it opens on the row that one is at. */
function inEditor(action) {
  return (event) => {
    if (!editing()) {
      pane("edit");
      const { active } = compare;
      const id = active?.clue?.id;
      const card = editor.clues.cards.find((each) => each.offered && each.offered.id === id) || editor.clues.active;
      if (card) editor.clues.activate(card);
      card?.element.focus({ preventScroll: true });
    }
    return action(event);
  };
}

async function next() {
  clearBanners();
  lease?.end();
  claim = base = null;
  player.pause();
  try {
    const found = ahead.take() || (await wanted()) || (await claimNext("review"));
    if (!found) return show("empty");
    await open(found.claim, found.at);
  } catch (error) {
    claimRefused(error);
  }
}

/** The claim that the page was opened for (a clip to be adjudicated again), as long as it is live. */
async function wanted() {
  const id = new URLSearchParams(location.search).get("claim");
  if (!/^\d{1,18}$/.test(id || "")) return null;
  window.history.replaceState(null, "", location.pathname);
  try {
    const { data } = await api("GET", `${settings.api}/claims/${id}/`);
    return data.kind === "review" && data.state === "live" ? { claim: data } : null;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return null;
  }
}

async function open(data, at) {
  claim = data;
  intention = null;
  offer = "";
  refs.note.value = "";
  refs.returnReason.value = ""; // not at each opening: a reason once typed outlives a refusal and a second thought
  show("task");
  showClip(claim);
  drawThread(claim, words);
  compare.load(claim);
  pane("compare");
  keymap.write(root);
  panels.cleared();
  let left = null;
  try {
    left = JSON.parse(local.getItem(localKey()));
  } catch {
    local.removeItem(localKey());
  }
  const kept = left?.body && claim.annotations.find((annotation) => annotation.id === left.annotation);
  base = kept || claim.annotations[0];
  if (kept) refs.note.value = left.note || "";
  put(kept ? left.body : start());
  if (kept) banner("restored", text.restored, { level: "info" });
  history.start();
  refs.differences.textContent = claim.annotations.length > 1
    ? words.differ.replace("%1", compare.split.length).replace("%2", compare.rows.length - 1)
    : "";
  lease = new Lease(claim, { at, onLost: (error) => banner("lease", error.message), onKept: () => player.retry() });
  for (const area of refs.task.querySelectorAll(".work-area, .pane")) area.scrollTop = 0;
  window.scrollTo(0, 0);
  const loaded = player.load(claim.clip, { mode: "", claim });
  performance.mark("work-open", { detail: { claim: claim.id } });
  await loaded;
  if (claim === data) ahead.start(claim);
}

/** Where annotators saw different parts of the clip, the record starts with the clues of all of them. */
function start() {
  const parts = claim.annotations.filter((annotation) => annotation.mode && annotation !== base);
  const clues = parts.flatMap((annotation) => annotation.body.clues);
  return { ...base.body, clues: [...base.body.clues, ...clues] };
}

async function decide(decision, extra, button, done) {
  const body = { decision, ...extra };
  const said = JSON.stringify(body);
  if (intention?.text !== said) intention = { key: newKey(), text: said };
  handingIn(button, true);
  try {
    await untilAnswered(
      () => api("POST", url("decide/"), { body, headers: { "Idempotency-Key": intention.key } }),
      (error, seconds) => banner("offline", (error.status === 0 ? text.offline : text.serverAway).replace("%s", seconds)),
    );
    banner("offline", null);
    local.removeItem(localKey());
    handingIn(button, false);
    announce(done);
    await next();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    handingIn(button, false);
    if (error.signedOut) banner("signed-out", error.away(text.signedOut), { level: "danger" });
    else if (error.status === 422 && extra.body) {
      pane("edit"); // what is wrong shows there
      editor.showErrors(error.message, error.problem.errors, extra.body);
    } else banner("decide", error.message, { level: "danger", actions: [[text.nextClip, next]] });
  }
}

async function accept() {
  if (!base || refs.accept.disabled) return;
  const reason = refs.note.value.trim();
  const whole = claim.annotations.find((annotation) => sameBody(annotation.body, editor.value));
  if (whole) return decide("accept", { annotation: whole.id, reason }, refs.accept, words.accepted);
  const shown = editing();
  pane("edit");
  if (!editor.check(accept)) return;
  if (!shown) pane("compare");
  await decide("accept", { annotation: base.id, reason, body: editor.value }, refs.accept, words.accepted);
}

async function giveBack() {
  if (!base || refs.giveBack.disabled) return;
  const asked = await askReturn(claim, base, words);
  if (asked) await decide("return", asked, refs.giveBack, words.sentBack);
}

async function skip() {
  const reason = await askSkip();
  if (reason === null) return;
  try {
    await api("POST", url("skip/"), { body: { reason } });
    local.removeItem(localKey());
    await next();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    banner("decide", error.message || text.offline, { level: "danger" });
  }
}

const parts = partActions(player, editor, context);
const ofEditor = Object.fromEntries(
  ["keep", "correct", "reject", "undecide", "choose", "add", "remove", "diff", "span-start", "span-end", "start-earlier", "start-later",
    "end-earlier", "end-later", "no-span", "description-zh", "description-en", "labels"]
    .filter((name) => parts[name])
    .map((name) => [name, inEditor(parts[name])]),
);
/** `step` in the table, or among the cards of the editor. */
const step = (by, name) => (event) => (editing() ? parts[name]?.(event) : compare.step(by));
const takeFrom = (index) => () => {
  const annotation = claim.annotations[index];
  if (annotation && compare.active) take(compare.active, annotation);
};
const onlyDifferences = () => {
  const on = refs.compare.classList.toggle("only-split");
  refs.onlySplit.setAttribute("aria-pressed", String(on));
  announce(on ? words.onlyDifferences : words.everyRow);
};

refs.accept.addEventListener("click", accept);
refs.giveBack.addEventListener("click", giveBack);
refs.skip.addEventListener("click", skip);
refs.reset.addEventListener("click", () => choose(base));
refs.note.addEventListener("input", () => keep(false));
refs.showCompare.addEventListener("click", () => pane("compare"));
refs.showEdit.addEventListener("click", () => pane("edit"));
refs.onlySplit.addEventListener("click", onlyDifferences);
refs.retry.addEventListener("click", next);
refs.again.addEventListener("click", next);
refs.flagButton.addEventListener("click", () => claim && flag(claim.clip));
refs.historyUndo.addEventListener("click", () => history.undo());
refs.historyRedo.addEventListener("click", () => history.redo());
wireDialogs();
wireHelp();
wireReturn();
bindKeys(
  {
    ...parts,
    ...ofEditor,
    "next-clue": step(1, "next-clue"),
    "previous-clue": step(-1, "previous-clue"),
    loop: (event) => {
      const span = compare.active?.clue?.span;
      if (editing() || !span) parts.loop?.(event);
      else play(span);
    },
    ...Object.fromEntries([0, 1, 2, 3, 4].map((index) => [`take-${index + 1}`, takeFrom(index)])),
    union: () => gather(1),
    majority: () => gather(0),
    "edit-result": () => pane(editing() ? "compare" : "edit"),
    differences: onlyDifferences,
    version: () => choose(claim.annotations[(claim.annotations.indexOf(base) + 1) % claim.annotations.length]),
    accept: () => void accept(),
    return: () => void giveBack(),
    skip: () => void skip(),
    undo: () => history.undo(),
    redo: () => history.redo(),
    flag: () => void (claim && flag(claim.clip)),
    comments: () => panels.toggle("comments"),
    guideline: () => panels.toggle("guideline"),
    help: openHelp,
  },
  { editor, escape: (event) => (!event.target?.closest?.(".work-task") || event.target === document.body) && panels.close() },
);

watchEmpty(next);
next();
