// What the keys do to the clue one is at; page by page the table of keys says which key that is.

/** `{action: function(event)}` over the actions of the group "Clues"; `editor.clues` is the list. */
export function clueActions(editor, player) {
  const { clues } = editor;
  const { text } = clues;
  /** `act` on the active card; without one, on the first that waits. */
  const on = (act) => (event) => {
    if (clues.readOnly) return;
    if (!clues.active) clues.step(0);
    if (clues.active) act(clues.active, event);
  };
  /** Digits belong to the reasons as long as one is asked for. */
  const verdict = (act) => on((card, event) => {
    const digit = /^[1-9]$/.test(event?.key || "") ? Number(event.key) : 0;
    if (digit && card.choosing) card.reasons.byDigit(digit);
    else act(card);
  });
  const nudge = (end, direction) => on((card) => card.nudge(end, direction, player));
  return {
    "next-clue": () => clues.step(1),
    "previous-clue": () => clues.step(-1),
    keep: verdict((card) => card.keep()),
    correct: verdict((card) => card.correct()),
    reject: verdict((card) => card.reject()),
    undecide: verdict((card) => card.undecide()),
    choose: on((card) => card.chooseOnly()),
    add: () => editor.addClue(clues.active?.modality || clues.mode || "visual", { ask: true }),
    remove: on((card) => (card.offered ? clues.say(text.notYours) : clues.removeAdded(card))),
    diff: () => {
      clues.nextLevel();
      clues.say(text.diffLevels[clues.active?.diffLevel || "words"]);
    },
    loop: () => clues.active && clues.loop(clues.active),
    "span-start": on((card) => card.markSpan(0)),
    "span-end": on((card) => card.markSpan(1)),
    "start-earlier": nudge(0, -1),
    "start-later": nudge(0, 1),
    "end-earlier": nudge(1, -1),
    "end-later": nudge(1, 1),
    "no-span": on((card) => card.changeSpan(null)),
  };
}
