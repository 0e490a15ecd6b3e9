// Verdicts of the evidence gate: chips beside a clue, the words of its claims marked, spans that play.

import { clock } from "./checking/times.js";

const ui = document.documentElement.lang.startsWith("zh") ? "zh" : "en";

function number(verdict, text) {
  if (verdict.value == null) return "";
  const short = (value) => String(Math.round(value * 100) / 100).replace("-", "−");
  const name = text.measures[verdict.measure] || verdict.measure || "";
  if (verdict.unit === "share") return `${name} ${Math.round(verdict.value * 100)}%`;
  const measured = `${name} ${short(verdict.value)}${text.units[verdict.unit] || ""}`;
  return verdict.threshold == null ? measured : `${measured}, ${text.threshold.replace("%s", short(verdict.threshold))}`;
}

function claimName(verdict, text) {
  let name = text.claims[verdict.claim] || verdict.claim;
  if (verdict.claim === "quote") {
    const letters = Array.from(verdict.text);
    name += ` “${letters.slice(0, 40).join("")}${letters.length > 40 ? "…" : ""}”`;
  }
  if (verdict.negated) name = text.negated.replace("%s", name);
  const more = [verdict.hedged && text.hedged, verdict.who === "other" && text.other].filter(Boolean);
  return more.length ? `${name} (${more.join(", ")})` : name;
}

function element(tag, className, content) {
  const made = document.createElement(tag);
  made.className = className;
  if (content !== undefined) made.textContent = content;
  return made;
}

/** Fill a `ul` with one chip a verdict, in the order given; `play([start, end])` follows a click on a span. */
export function showChips(list, verdicts, text, play) {
  list.replaceChildren();
  list.setAttribute("aria-label", text.gate);
  list.hidden = !verdicts.length;
  for (const verdict of verdicts) {
    const chip = element("li", `finding finding--${verdict.verdict}`);
    chip.title = verdict.said?.[ui] || "";
    const sign = element("span", "", text.signs[verdict.verdict]);
    sign.setAttribute("aria-hidden", "true");
    chip.append(sign, " ", element("b", "", text.verdicts[verdict.verdict]), ` ${claimName(verdict, text)}`);
    const measured = number(verdict, text);
    if (measured) chip.append(" ", element("span", "finding-number", measured));
    if (verdict.span) {
      const label = `${clock(verdict.span[0])} – ${clock(verdict.span[1])}`;
      const button = element("button", "span-chip", `▶ ${label}`);
      button.type = "button";
      button.title = text.play.replace("%s", label);
      button.addEventListener("click", () => play(verdict.span));
      chip.append(" ", button);
    }
    list.append(chip);
  }
}

/** Write a clue's text into `target` with the words of its claims marked. Places count characters, not UTF-16 units. */
export function showMarked(target, content, verdicts, text) {
  const letters = Array.from(content);
  const places = verdicts.filter((verdict) => Array.isArray(verdict.at));
  places.sort((a, b) => a.at[0] - b.at[0] || b.at[1] - a.at[1]);
  target.replaceChildren();
  let end = 0;
  for (const verdict of places) {
    const [start, stop] = verdict.at;
    if (start < end || stop <= start || stop > letters.length) continue;
    const mark = element("mark", `claimed claimed--${verdict.verdict}`, letters.slice(start, stop).join(""));
    mark.title = `${text.verdicts[verdict.verdict]}: ${claimName(verdict, text)}`;
    target.append(letters.slice(end, start).join(""), mark);
    end = stop;
  }
  target.append(letters.slice(end).join(""));
}

// On a clip's page: a span plays in the page's own player.
let stopAt = null;
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-play-from]");
  const media = button && document.querySelector(".player video, .clip-audio");
  if (!media) return;
  if (stopAt === null) {
    media.addEventListener("timeupdate", () => {
      if (stopAt && media.currentTime >= stopAt) {
        media.pause();
        stopAt = 0;
      }
    });
  }
  stopAt = Number(button.dataset.playTo);
  media.currentTime = Number(button.dataset.playFrom);
  media.scrollIntoView({ block: "nearest" });
  media.play().catch(() => {}); // a file that cannot be played says so in the player
});
