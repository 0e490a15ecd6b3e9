"""Pipelines that people write: a short list of steps in YAML or JSON, checked line by line, versioned for good.

    - step: measured_prosody
    - step: visual_clue
      prelabeller: my-vision-model
      options: {frames: 4}
    - step: visual_clue
      tag: long
    - coarse_template

Writing one again makes its next version; a run takes the newest, and keeps the one that it took.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml
from django.db import transaction
from django.utils.translation import gettext as _

from annotator.clips.access import corpora_where, require_scope
from annotator.core import audit
from annotator.core.errors import Forbidden, Invalid
from models_ml.steps import PIPELINES, STEPS
from models_ml.steps.types import Option

from . import plans
from .models import Pipeline, PreLabeller

KEYS = ("step", "prelabeller", "options", "tag")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
TAG = re.compile(r"[a-z0-9-]{1,8}")
LARGEST = 100_000  # characters of a declaration
MOST_STEPS = 50

Item = tuple[str, Any]  # where it stands ("line 3"), what stands there


def define(user: Any, name: str, declaration: Any) -> Pipeline:
    """Make `declaration` (YAML or JSON text, or the list itself) the newest version of the pipeline `name`.

    What is there already, unchanged, makes no new version. `user` None is the system (a command). Raises Forbidden by
    role, Invalid with one line for everything that is wrong.
    """
    if user is not None and not may(user, "pipeline.define"):
        require_scope(user, "pipeline.define")
        raise Forbidden(_("Only managers of a corpus write pipelines."))
    problems = list(_wrong_name(name))
    items = _read(declaration) if isinstance(declaration, str) else _listed(declaration)
    checked, found = check(items)
    if problems := problems + found:
        raise Invalid("\n".join(problems[:20]), errors={"pipeline": problems[:100]})
    definition = plans.definition_of([plans.declared_part(item) for item in checked])
    with transaction.atomic():
        before = plans.own_pipelines().filter(name=name).order_by("-version").first()
        row = plans.pipeline_row(plans.Plan(name, definition, checked), user)
        if row != before:
            audit.record(user, "pipeline.define", target=str(row), steps=[step["key"] for step in definition["steps"]])
    return row


def may(user: Any, action: str) -> bool:
    """Whether `user` may do `action` on at least one corpus: pipelines belong to no corpus."""
    scopes = getattr(user, "token_scopes", None)
    if user.is_superuser and user.is_active:
        return not scopes or action in scopes
    return corpora_where(user, action).exists()


def newest() -> list[Pipeline]:
    """The newest version of every pipeline that somebody wrote, by name."""
    return list(plans.own_pipelines().order_by("name", "-version").distinct("name").select_related("created_by"))


def as_text(declaration: list[Any]) -> str:
    """A declaration as the YAML that a person would write."""
    items = [item["step"] if isinstance(item, dict) and list(item) == ["step"] else item for item in declaration]
    return yaml.safe_dump(items, allow_unicode=True, sort_keys=False)


def check(items: list[Item]) -> tuple[list[dict[str, Any]], list[str]]:
    """The items in their one form, and everything that is wrong with them."""
    if not 1 <= len(items) <= MOST_STEPS:
        return [], [_("A pipeline is a list of 1 to %(most)d steps.") % {"most": MOST_STEPS}]
    models = {model.name: model for model in plans.registered_models()}
    checked: list[dict[str, Any]] = []
    problems: list[str] = []
    seen: dict[str, str] = {}
    for where, item in items:
        item = {"step": item} if isinstance(item, str) else item
        if wrong := list(_wrong_item(item, models)):
            problems += [f"{where}: {text}" for text in wrong]
            continue
        item = {key: item[key] for key in KEYS if item.get(key) not in (None, "", {})}
        part = plans.Part(item["step"], item.get("tag", ""), models.get(item.get("prelabeller", "")))
        if part.key in seen:
            problems.append(
                f"{where}: "
                + _("“%(step)s” is there already (%(where)s); give one of them a tag or another pre-labeller.")
                % {"step": item["step"], "where": seen[part.key]}
            )
        seen[part.key] = where
        checked.append(item)
    return checked, problems


def _wrong_name(name: str) -> Iterator[str]:
    if not NAME.fullmatch(name):
        yield _(
            "A pipeline's name has letters, digits, “.”, “_” and “-”, at most 80, and begins with one of the first."
        )
    elif name in PIPELINES or name.replace("-", "_") in STEPS:
        yield _("“%(name)s” is built in; choose another name.") % {"name": name}


def _wrong_item(item: Any, models: dict[str, PreLabeller]) -> Iterator[str]:
    if not isinstance(item, dict):
        yield _("a step is wanted here: its name, or a mapping with “step”.")
        return
    for key in item:
        if key not in KEYS:
            yield _("there is no “%(key)s”. There are: %(known)s.") % {"key": _short(key), "known": ", ".join(KEYS)}
    step = item.get("step")
    if not isinstance(step, str) or step not in STEPS:
        yield _("there is no step “%(name)s”. There are: %(known)s.") % {
            "name": _short(step),
            "known": ", ".join(STEPS),
        }
        return
    tag = item.get("tag") or ""
    if tag and not (isinstance(tag, str) and TAG.fullmatch(tag)):
        yield _("the tag “%(tag)s” wants 1 to 8 of a–z, 0–9 and “-”.") % {"tag": _short(tag)}
    yield from _wrong_options(step, item.get("options"))
    if name := item.get("prelabeller"):
        yield from _wrong_model(step, name, models)


def _wrong_model(step: str, name: Any, models: dict[str, PreLabeller]) -> Iterator[str]:
    model = models.get(name) if isinstance(name, str) else None
    if not STEPS[step].endpoint:
        yield _("“%(step)s” asks no model, so it has no pre-labeller.") % {"step": step}
    elif model is None:
        known = ", ".join(models) or _("none is registered")
        yield _("there is no registered model “%(name)s”. There are: %(known)s.") % {
            "name": _short(name), "known": known,
        }  # fmt: skip
    elif not plans.serves(model, step):
        yield _("“%(name)s” is for %(modality)s, not for the step “%(step)s”.") % {
            "name": model.name, "modality": model.modality, "step": step,
        }  # fmt: skip


def _wrong_options(step: str, options: Any) -> Iterator[str]:
    known = STEPS[step].options
    if options and not isinstance(options, dict):
        yield _("options are a mapping: name and value.")
        return
    for name, value in (options or {}).items():
        if name not in known:
            yield _("“%(step)s” has no option “%(name)s”. There are: %(known)s.") % {
                "step": step, "name": _short(name), "known": ", ".join(known) or _("none"),
            }  # fmt: skip
        elif wanted := _wanted(known[name], value):
            yield _("the option “%(name)s” of “%(step)s” wants %(wanted)s, not “%(value)s”.") % {
                "name": name, "step": step, "wanted": wanted, "value": _short(value),
            }  # fmt: skip


def _wanted(option: Option, value: Any) -> str:
    """What an option would have; "" when the value will do."""
    if option.choices is not None:
        if any(type(value) is type(choice) and value == choice for choice in option.choices):
            return ""
        return _("one of %(choices)s") % {"choices": ", ".join(map(str, option.choices))}
    if isinstance(option.default, (tuple, list)):
        fine = isinstance(value, list) and len(value) <= 1000 and all(isinstance(word, str) for word in value)
        return "" if fine else _("a list of texts")
    if isinstance(option.default, bool):
        return "" if isinstance(value, bool) else _("true or false")
    if isinstance(option.default, (int, float)):
        whole = isinstance(option.default, int)
        number = not isinstance(value, bool) and isinstance(value, int if whole else (int, float))
        least = -math.inf if option.least is None else option.least
        most = math.inf if option.most is None else option.most
        if number and least <= value <= most and abs(value) < 1e15:
            return ""
        bounds = [f"≥ {option.least:g}" if option.least is not None else ""]
        bounds += [f"≤ {option.most:g}" if option.most is not None else ""]
        kind = _("a whole number") if whole else _("a number")
        return " ".join([kind, *filter(None, bounds)])
    return "" if isinstance(value, str) and len(value) <= 2000 else _("text")


def _listed(declaration: Any) -> list[Item]:
    if not isinstance(declaration, list):
        raise Invalid(_("A pipeline is a list of 1 to %(most)d steps.") % {"most": MOST_STEPS})
    return [(_("step %(number)d") % {"number": number}, item) for number, item in enumerate(declaration, 1)]


def _read(text: str) -> list[Item]:
    """The items of a YAML (or JSON) list with their lines. Raises Invalid, which names the line."""
    if len(text) > LARGEST:
        raise Invalid(_("The text is longer than %(most)d characters.") % {"most": LARGEST})
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) and (mark := event.start_mark):
                raise Invalid(_line(mark.line) + ": " + _("no references (*name) here, please."))
        loader = yaml.SafeLoader(text)
        try:
            root = loader.get_single_node()
            if not isinstance(root, yaml.SequenceNode):
                raise Invalid(_("A pipeline is a list of 1 to %(most)d steps.") % {"most": MOST_STEPS})
            return [(_line(node.start_mark.line), _built(loader, node)) for node in root.value]
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = _line(mark.line) if mark else _("the text")
        raise Invalid(f"{where}: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Invalid(_("The text is neither YAML nor JSON: %(problem)s") % {"problem": _short(error)}) from error


def _built(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    """The value of a node. Raises Invalid for a key that is there twice, which YAML readers pass over."""
    for mapping in _mappings(node):
        keys = [key.value for key, _value in mapping.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                where = _line(mapping.value[number][0].start_mark.line)
                raise Invalid(f"{where}: " + _("“%(key)s” is there twice.") % {"key": _short(key)})
    return loader.construct_document(node)


def _mappings(node: yaml.Node) -> Iterator[yaml.MappingNode]:
    if isinstance(node, yaml.MappingNode):
        yield node
        for _key, value in node.value:
            yield from _mappings(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _mappings(value)


def _line(index: int) -> str:
    return _("line %(number)d") % {"number": index + 1}


def _short(value: Any) -> str:
    text = str(value).replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return text[:80]
