// Actions that the checking and the review page share beside those of player, clues and text.

import { clueActions } from "./clues.js";
import { playerActions } from "./player.js";
import { textActions } from "./text.js";

/** `{action: function}` of every part that is on the page. */
export function partActions(player, editor, context = null) {
  return {
    ...playerActions(player, context),
    ...clueActions(editor, player),
    ...textActions(editor),
  };
}
