// Actions that the checking and the review page share beside those of player, clues and text.

import * as clues from "./clues.js";
import * as players from "./player.js";
import { textActions } from "./text.js";

/** `{action: function}` of every part that is on the page. */
export function partActions(player, editor) {
  return {
    ...players.playerActions?.(player),
    ...clues.clueActions?.(editor, player),
    ...textActions(editor),
  };
}

/** The names of those that change what is said. */
export function editingActions(editor, player) {
  return Object.keys({ ...clues.clueActions?.(editor, player), ...textActions(editor) });
}
