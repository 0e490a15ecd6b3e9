"""The keyboard of the checking and the review page: every action with its default keys. Each may be remapped.

A key is `event.key` in lower case, after `mod+` (Ctrl or Command), `shift+` or `alt+`; letters act only while nobody
types, composes or answers a dialog; `mod+` keys act everywhere.
"""

from typing import NamedTuple

from django.utils.translation import gettext as _

BOTH = ("annotate", "review")


class Shortcut(NamedTuple):
    """`action` is what the scripts bind a function to; `pages` are the kinds of work that have it."""

    action: str
    keys: tuple[str, ...]
    what: str
    group: str
    pages: tuple[str, ...] = BOTH


def shortcuts(kind: str) -> list[Shortcut]:
    """Those of the page for `kind`, in the order of the help."""
    clip, clue, text, page = _("Clip"), _("Clues"), _("Description and labels"), _("Page")
    annotate, review, merge = ("annotate",), ("review",), _("Putting together")
    table = [
        Shortcut("play", (" ",), _("play or pause"), clip),
        Shortcut("back", ("arrowleft",), _("one second back"), clip),
        Shortcut("forward", ("arrowright",), _("one second forward"), clip),
        Shortcut("frame-back", (",",), _("one frame back"), clip),
        Shortcut("frame-forward", (".",), _("one frame forward"), clip),
        Shortcut("slower", ("-",), _("slower"), clip),
        Shortcut("faster", ("=",), _("faster"), clip),
        Shortcut("normal-speed", ("0",), _("normal speed"), clip),
        Shortcut("tracks", ("m",), _("picture and sound, sound only, picture only"), clip),
        Shortcut("peak", ("y",), _("to the peak of the expression"), clip),
        Shortcut("context-previous", ("b",), _("the clip before, and back"), clip),
        Shortcut("context-next", ("n",), _("the clip after, and back"), clip),
        Shortcut("next-clue", ("j", "arrowdown"), _("next clue"), clue),
        Shortcut("previous-clue", ("k", "arrowup"), _("previous clue"), clue),
        Shortcut("keep", ("1",), _("keep the clue"), clue),
        Shortcut("correct", ("2", "enter"), _("correct the clue"), clue),
        Shortcut("reject", ("3",), _("reject the clue"), clue),
        Shortcut("undecide", ("4",), _("take the verdict back"), clue),
        Shortcut("choose", ("u",), _("keep this version of a clue, reject those beside it"), clue),
        Shortcut("add", ("a",), _("add a clue; a digit then says of which kind"), clue),
        Shortcut("remove", ("delete",), _("remove the added clue"), clue),
        Shortcut("diff", ("v",), _("show what was changed"), clue, annotate),
        Shortcut("loop", ("p",), _("play the clue's span over and over"), clue),
        Shortcut("span-start", ("[",), _("start the span at the playhead"), clue),
        Shortcut("span-end", ("]",), _("end the span at the playhead"), clue),
        Shortcut("start-earlier", ("shift+arrowleft",), _("start the span one frame earlier"), clue),
        Shortcut("start-later", ("shift+arrowright",), _("start the span one frame later"), clue),
        Shortcut("end-earlier", ("alt+arrowleft",), _("end the span one frame earlier"), clue),
        Shortcut("end-later", ("alt+arrowright",), _("end the span one frame later"), clue),
        Shortcut("no-span", ("shift+delete",), _("take the span away"), clue),
        Shortcut("description-zh", ("d",), _("to the Chinese description"), text),
        Shortcut("description-en", ("e",), _("to the English description"), text),
        Shortcut("labels", ("l",), _("to the OV labels"), text),
        Shortcut("summarise", ("s",), _("summarise the checked clues"), text, annotate),
        Shortcut("translate", ("t",), _("translate into the language that is behind"), text, annotate),
        Shortcut("undo", ("mod+z",), _("undo"), page),
        Shortcut("redo", ("mod+shift+z", "mod+y"), _("redo"), page),
        Shortcut("save", ("mod+s",), _("save the draft now"), page, annotate),
        Shortcut("submit", ("mod+enter",), _("submit, then the next clip"), page, annotate),
        Shortcut("skip", ("x",), _("skip the clip"), page),
        Shortcut("flag", ("f",), _("flag the clip"), page),
        Shortcut("comments", ("c",), _("comments on the clip"), page),
        Shortcut("guideline", ("g",), _("guideline and examples"), page),
        *(
            Shortcut(f"take-{n}", (f"shift+{n}",), _("take from annotator %s (first row: all)") % n, merge, review)
            for n in range(1, 6)
        ),
        Shortcut("version", ("v",), _("take the next annotation as a whole"), merge, review),
        Shortcut("union", ("shift+a",), _("labels: all of them"), merge, review),
        Shortcut("majority", ("shift+m",), _("labels: those of most annotators"), merge, review),
        Shortcut("differences", ("o",), _("only rows that differ, or every row"), merge, review),
        Shortcut("edit-result", ("i",), _("edit the record, or back to the comparison"), merge, review),
        Shortcut("accept", ("mod+enter",), _("accept"), page, review),
        Shortcut("return", ("r",), _("return with a reason"), page, review),
        Shortcut("help", ("?",), _("this help"), page),
    ]
    return [shortcut for shortcut in table if kind in shortcut.pages]
