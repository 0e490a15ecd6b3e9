"""How somebody likes to work: their own keys on the checking pages, and small settings that the scripts keep."""

import re
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from annotator.core import audit
from annotator.core.errors import Invalid

from .models import WorkPreference
from .shortcuts import BOTH, shortcuts

KEYS_EACH = 3
SETTINGS = 40
NAMED = ("enter", "delete", "backspace", "insert", "home", "end", "pageup", "pagedown")
ARROWS = ("arrowleft", "arrowright", "arrowup", "arrowdown")
KEY = re.compile(rf"(mod\+)?(alt\+)?(shift\+)?(\S| |f\d{{1,2}}|{'|'.join(NAMED + ARROWS)})")
# What the browser or a field needs for itself.
RESERVED = {f"mod+{letter}" for letter in "acvxwtnrql"} | {"mod+shift+t", "mod+shift+n", "mod+shift+w"}
SETTING = re.compile(r"[a-z][a-zA-Z0-9-]{0,39}")


def preferences_of(user: Any) -> dict[str, Any]:
    """`{"keys": {action: [key, …]}, "settings": {name: value}}`; empty where nothing was chosen."""
    row = WorkPreference.objects.filter(user_id=user.pk).first()
    return {"keys": row.keys if row else {}, "settings": row.settings if row else {}}


def prefer(user: Any, raw: Any) -> dict[str, Any]:
    """Keep `raw` as the preferences of `user` (all of them: what it leaves out is as it came).

    Raises Invalid by field: an unknown action, a key that is none or that belongs to the browser, one key for two
    actions of a page, a setting that is not a short value.
    """
    errors: dict[str, str] = {}
    if not isinstance(raw, dict):
        raise Invalid(_("The body must be a JSON object."), errors={"": _("The body must be a JSON object.")})
    for name in sorted(set(raw) - {"keys", "settings"}):
        errors[str(name)] = _("There is no such field.")
    keys = _keys(raw.get("keys", {}), errors)
    settings = _settings(raw.get("settings", {}), errors)
    if errors:
        raise Invalid(_("Some fields are wrong."), errors=errors)
    _keep(user, {"keys": keys, "settings": settings})
    return {"keys": keys, "settings": settings}


@transaction.atomic
def _keep(user: Any, chosen: dict[str, Any]) -> None:
    """Write them, with an entry in the audit trail that names what is new; the same again writes nothing."""
    row, created = WorkPreference.objects.select_for_update().get_or_create(user_id=user.pk, defaults=chosen)
    before = {"keys": {}, "settings": {}} if created else {"keys": row.keys, "settings": row.settings}
    if not created and before == chosen:
        return
    row.keys, row.settings = chosen["keys"], chosen["settings"]
    row.save(update_fields=["keys", "settings", "updated_at"])
    changed: dict[str, Any] = {
        part: sorted(name for name in before[part] | chosen[part] if before[part].get(name) != chosen[part].get(name))
        for part in chosen
    }
    audit.record(user, "preferences.change", target=f"user {user.pk}", **changed)


def _keys(raw: Any, errors: dict[str, str]) -> dict[str, list[str]]:
    if not isinstance(raw, dict):
        errors["keys"] = _("An object is wanted here: action to keys.")
        return {}
    known = {shortcut.action: shortcut for kind in BOTH for shortcut in shortcuts(kind)}
    own: dict[str, list[str]] = {}
    for action, keys in raw.items():
        place = f"keys.{action}"
        if action not in known:
            errors[place] = _("There is no such action.")
        elif not (isinstance(keys, list) and 0 < len(keys) <= KEYS_EACH and all(isinstance(key, str) for key in keys)):
            errors[place] = _("From one to %(limit)s keys are wanted here.") % {"limit": KEYS_EACH}
        elif bad := next((key for key in keys if not KEY.fullmatch(key) or key != key.lower()), None):
            errors[place] = _("“%(key)s” is no key.") % {"key": bad[:40]}
        elif bad := next((key for key in keys if key in RESERVED), None):
            errors[place] = _("“%(key)s” belongs to the browser.") % {"key": bad}
        elif tuple(keys) != known[action].keys:
            own[action] = list(dict.fromkeys(keys))
    for kind in BOTH:
        taken: dict[str, str] = {}
        for shortcut in shortcuts(kind):
            for key in own.get(shortcut.action, shortcut.keys):
                if key in taken:
                    wrong = shortcut if shortcut.action in own else known[taken[key]]
                    other = taken[key] if wrong is shortcut else shortcut.action
                    errors[f"keys.{wrong.action}"] = _("“%(key)s” is the key for “%(what)s” already.") % {
                        "key": key,
                        "what": known[other].what,
                    }
                taken[key] = shortcut.action
    return own


def _settings(raw: Any, errors: dict[str, str]) -> dict[str, Any]:
    if not isinstance(raw, dict) or len(raw) > SETTINGS:
        errors["settings"] = _("An object of at most %(limit)s settings is wanted here.") % {"limit": SETTINGS}
        return {}
    for name, value in raw.items():
        short = value is None or isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= 200)
        if not SETTING.fullmatch(str(name)) or not short or (isinstance(value, str) and "\x00" in value):
            errors[f"settings.{str(name)[:40]}"] = _("A short text, a number or yes or no is wanted here.")
    return raw
