// What reviewer and annotators say to each other: returning with a reason, the thread of returns and answers.

import { ask, refs, settings } from "./page.js";
import { make } from "./review-cells.js";

/** Ask to whom the clip goes back and why: `{annotation, reason}`, or null. */
export async function askReturn(claim, chosen, words) {
  const choices = claim.annotations.map((annotation) => {
    const label = make("label", "choice");
    const radio = make("input");
    Object.assign(radio, { type: "radio", name: "return-to", value: String(annotation.id), checked: annotation === chosen });
    label.append(radio, words.annotationOf.replace("%s", annotation.annotator));
    return label;
  });
  refs.returnTo.hidden = choices.length < 2;
  refs.returnTo.querySelector("div").replaceChildren(...choices);
  for (const box of boxes()) box.checked = false;
  require();
  if ((await ask(refs.returnDialog)) !== "return") return null;
  const picked = refs.returnTo.querySelector("input:checked");
  const listed = boxes().filter((box) => box.checked).map((box) => box.value);
  const reason = [...listed, refs.returnReason.value.trim()].filter(Boolean).join("\n");
  return { annotation: Number(picked?.value ?? chosen.id), reason };
}

const boxes = () => [...refs.returnDialog.querySelectorAll("[name=return-why]")];

/** One reason of the list is enough; without any the annotator needs a text. */
function require() {
  refs.returnReason.required = !boxes().some((box) => box.checked);
}

export function wireReturn() {
  for (const box of boxes()) box.addEventListener("change", require);
}

/** What was decided and answered before, and the record that stands. */
export function drawThread(claim, words) {
  const turns = (claim.thread || []).map((turn) => {
    const item = make("li", "remark");
    const head = make("div", "remark-head");
    const done = turn.decision === "return" ? words.wasReturned.replace("%s", turn.annotator || "–") : words.wasAccepted;
    const when = new Date(turn.at).toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
    head.append(make("strong", "", done), make("span", "", [turn.mine ? words.byMe : words.byReviewer, when].join(" · ")));
    item.append(head);
    if (turn.reason) item.append(make("p", "pre-line", turn.reason));
    if (turn.reply) {
      const reply = make("blockquote", "reply pre-line", turn.reply);
      reply.setAttribute("aria-label", words.reply);
      item.append(reply);
    }
    return item;
  });
  refs.thread.hidden = !turns.length;
  refs.threadCount.textContent = String(turns.length);
  refs.thread.open = (claim.thread || []).some((turn) => turn.reply);
  refs.turns.replaceChildren(...turns);
  const { record } = claim;
  refs.standing.hidden = !record;
  if (!record) return;
  const link = make("a", "", words.standing.replace("%1", record.revision).replace("%2", words.origins[record.origin] || record.origin));
  link.href = `${settings.api.replace(/api\/v1$/, "")}records/${record.id}/`;
  link.target = "_blank";
  link.rel = "noopener";
  refs.standing.replaceChildren(link, " ", words.standingNext.replace("%s", record.revision + 1));
}
