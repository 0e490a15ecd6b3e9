// The review page: annotations side by side, choose one, edit it if need be, accept or return.

import { api, ApiError, newKey, untilAnswered } from "../api.js";
import { claimNext, claimRefused, Lease, watchEmpty } from "./claims.js";
import { ask, banner, bindKeys, clearBanners, handingIn, refs, settings, show, showClip, text, workplace } from "./page.js";
import { askSkip, flag, wireDialogs } from "./panels-dialogs.js";
import { openHelp, wireHelp } from "./panels-keys.js";
import { Panels } from "./panels.js";
import { editingActions, partActions } from "./work.js";

let claim = null;
let chosen = null;
let original = ""; // the chosen annotation as the editor shows it untouched
let lease = null;
let intention = null;

const url = (rest = "") => `${settings.api}/claims/${claim.id}/${rest}`;
const { player, editor } = workplace({ claimUrl: () => claim && url(), onChange: () => edited() });
const panels = new Panels({ claim: () => claim, take: () => {} });
const localKey = () => `review:${settings.user}:${claim.id}`;

function changed() {
  return JSON.stringify(editor.value) !== original;
}

function edited() {
  if (!chosen) return;
  const differs = changed();
  refs.editedNote.hidden = !differs;
  // An unfinished decision survives a reload of the page; the server learns of it when it is made.
  if (differs) localStorage.setItem(localKey(), JSON.stringify({ annotation: chosen.id, body: editor.value }));
  else localStorage.removeItem(localKey());
}

async function next() {
  clearBanners();
  lease?.end();
  claim = chosen = null;
  player.pause();
  try {
    const found = await claimNext("review");
    if (!found) return show("empty");
    await open(found.claim);
  } catch (error) {
    claimRefused(error);
  }
}

async function open(data) {
  claim = data;
  intention = null;
  refs.returnReason.value = ""; // not at each opening: a reason once typed outlives a refusal and a second thought
  show("task");
  showClip(claim);
  panels.cleared();
  drawVersions();
  let left = null;
  try {
    left = JSON.parse(localStorage.getItem(localKey()));
  } catch {
    localStorage.removeItem(localKey());
  }
  const kept = left && claim.annotations.find((annotation) => annotation.id === left.annotation);
  choose(kept || claim.annotations[0], kept ? left.body : null);
  lease = new Lease(claim, { onLost: (error) => banner("lease", error.message) });
  window.scrollTo(0, 0);
  await player.load(claim.clip);
}

function choose(annotation, body = null) {
  chosen = annotation;
  // Annotators may have been offered different clues, where a run came in between.
  const judged = new Set(annotation.body.clues.map((clue) => clue.id));
  const offer = { ...claim, clues: claim.clues.filter((clue) => judged.has(clue.id)) };
  editor.load(offer, annotation.body);
  original = JSON.stringify(editor.value);
  if (body) {
    editor.load(offer, body);
    banner("restored", text.restored, { level: "info" });
  }
  refs.editedNote.hidden = !changed();
  refs.editFold.open = changed();
  for (const element of refs.versions.children) {
    const on = element.dataset.id === String(annotation.id);
    element.classList.toggle("is-chosen", on);
    const button = element.querySelector("button");
    button.setAttribute("aria-pressed", String(on));
    button.textContent = on ? `✓ ${text.chosen}` : text.choose;
  }
}

async function switchTo(annotation) {
  if (annotation === chosen) return;
  if (changed() && (await ask(refs.replaceDialog)) !== "replace") return;
  localStorage.removeItem(localKey());
  choose(annotation);
}

function make(tag, className, content = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = content;
  return element;
}

function drawVersions() {
  const all = claim.annotations;
  refs.versions.replaceChildren(...all.map((annotation) => version(annotation, all)));
}

function version(annotation, all) {
  const { body } = annotation;
  const box = make("article", "version");
  box.dataset.id = annotation.id;
  const head = make("header", "version-head");
  head.append(make("h2", "", text.annotationOf.replace("%s", annotation.annotator)));
  const button = make("button", "btn btn--sm");
  button.type = "button";
  button.addEventListener("click", () => switchTo(annotation));
  head.append(button);
  box.append(head);
  for (const [language, lang] of [["zh", "zh-Hans"], ["en", "en"]]) {
    const words = body.description?.[language];
    if (!words) continue;
    const paragraph = make("p", "pre-line", words);
    paragraph.lang = lang;
    box.append(paragraph);
  }
  if (!body.description?.zh && !body.description?.en) box.append(make("p", "muted", text.noDescription));
  const tags = make("div", "tags");
  for (const language of ["zh", "en"]) {
    for (const label of body.ov_labels?.[language] || []) {
      const lone = all.length > 1 && all.every((other) => other === annotation || !(other.body.ov_labels?.[language] || []).includes(label));
      const tag = make("span", lone ? "tag tag--lone" : "tag", label);
      if (lone) tag.title = text.onlyHere;
      tags.append(tag);
    }
  }
  box.append(tags.children.length ? tags : make("p", "muted small", text.noLabels));
  const list = make("ul", "version-clues");
  for (const clue of body.clues || []) {
    const item = make("li", "");
    const level = { kept: "badge--ok", corrected: "badge--info", rejected: "badge--danger", added: "badge--info" }[clue.verdict];
    item.append(make("span", `badge ${level || ""}`, text.verdicts[clue.verdict] || clue.verdict), clue.text);
    const offered = clue.verdict === "corrected" && claim.clues.find((other) => other.id === clue.id)?.text;
    if (offered && offered !== clue.text) item.append(" ", make("del", "muted", offered));
    if (clue.reason) item.append(make("span", "muted", ` (${clue.reason})`));
    list.append(item);
  }
  box.append(list);
  return box;
}

async function decide(decision, extra, button, done) {
  const body = { decision, annotation: chosen.id, ...extra };
  const words = JSON.stringify(body);
  if (intention?.text !== words) intention = { key: newKey(), text: words };
  handingIn(button, true);
  try {
    await untilAnswered(
      () => api("POST", url("decide/"), { body, headers: { "Idempotency-Key": intention.key } }),
      (error, seconds) => banner("offline", (error.status === 0 ? text.offline : text.serverAway).replace("%s", seconds)),
    );
    banner("offline", null);
    localStorage.removeItem(localKey());
    refs.announce.textContent = done;
    handingIn(button, false);
    await next();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    handingIn(button, false);
    if (error.signedOut) banner("signed-out", text.signedOut, { level: "danger" });
    else if (error.status === 422 && extra.body) editor.showErrors(error.message, error.problem.errors, extra.body);
    else banner("decide", error.message, { level: "danger", actions: [[text.nextClip, next]] });
  }
}

async function accept() {
  if (!chosen || refs.accept.disabled) return;
  const body = changed() ? editor.value : null;
  if (body) refs.editFold.open = true; // what is wrong shows there
  if (body && !editor.check()) return;
  await decide("accept", body ? { body } : {}, refs.accept, text.accepted);
}

async function giveBack() {
  if (!chosen || refs.giveBack.disabled) return;
  if ((await ask(refs.returnDialog)) !== "return") return;
  await decide("return", { reason: refs.returnReason.value.trim() }, refs.giveBack, text.sentBack);
}

async function skip() {
  const reason = await askSkip();
  if (reason === null) return;
  try {
    await api("POST", url("skip/"), { body: { reason } });
    localStorage.removeItem(localKey());
    await next();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    banner("decide", error.message || text.offline, { level: "danger" });
  }
}

/** Keys of the editor open it first. */
function inEditor(action) {
  return (event) => {
    refs.editFold.open = true;
    return action(event);
  };
}

refs.accept.addEventListener("click", accept);
refs.giveBack.addEventListener("click", giveBack);
refs.skip.addEventListener("click", skip);
refs.reset.addEventListener("click", () => {
  localStorage.removeItem(localKey());
  choose(chosen);
});
refs.retry.addEventListener("click", next);
refs.again.addEventListener("click", next);
refs.flagButton.addEventListener("click", () => claim && flag(claim.clip));
wireDialogs();
wireHelp();
const parts = partActions(player, editor);
for (const name of editingActions(editor, player)) parts[name] = inEditor(parts[name]);
bindKeys(
  {
    ...parts,
    accept,
    return: () => void giveBack(),
    skip: () => void skip(),
    flag: () => void (claim && flag(claim.clip)),
    comments: () => panels.toggle("comments"),
    guideline: () => panels.toggle("guideline"),
    help: openHelp,
    version: () => {
      const index = claim.annotations.indexOf(chosen);
      switchTo(claim.annotations[(index + 1) % claim.annotations.length]);
    },
  },
  { editor, escape: (event) => (!event.target?.closest?.(".work-task") || event.target === document.body) && panels.close() },
);

watchEmpty(next);
next();
