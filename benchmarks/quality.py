"""Pages of quality over a corpus that three people checked: how long counting takes, and how long a page.

Rows are written in SQL, as many as people would leave behind: a clip has three clues, three annotations with a verdict
on each clue, an arm and times; a tenth of the clips has an accepted record.
"""

import time
from typing import Any

from .figures import latency
from .world import World

PEOPLE, CLUES, DAYS = 3, 3, 60
PAGES = 40
ADDRESSES = ("quality", "dashboard")

_CLIPS = """
    INSERT INTO clips_clip
    SELECT (jsonb_populate_record(model, jsonb_build_object(
      'id', nextval('clips_clip_id_seq'), 'name', 'clip-' || lpad(n::text, 7, '0')))).*
    FROM generate_series(1, %(clips)s) n, clips_clip model WHERE model.id = %(model)s
"""
_SLOTS = "UPDATE checking_slot SET state = 'done' WHERE corpus_id = %(corpus)s AND kind = 'annotate'"
_CLUES = """
    INSERT INTO prelabels_clue (clip_id, prelabeller_id, modality, aspect, language, text, provenance, gate_version,
      content_sha256, created_at)
    SELECT clip.id, (%(prelabellers)s::bigint[])[n], (ARRAY['visual', 'audio', 'text'])[n],
      (ARRAY['expression', 'tone', 'content'])[n], 'en', 'The brows are drawn together, and the voice rises.', '{}',
      '', repeat('0', 64), now()
    FROM clips_clip clip CROSS JOIN generate_series(1, 3) n WHERE clip.corpus_id = %(corpus)s
"""
_CLAIMS = """
    INSERT INTO checking_claim (slot_id, clip_id, corpus_id, user_id, state, lease_end, offered, arm, return_reason,
      skip_reason, created_at, updated_at)
    SELECT slot.id, slot.clip_id, slot.corpus_id, (%(users)s::bigint[])[slot.number], 'submitted', now(),
      (SELECT jsonb_agg(clue.id ORDER BY clue.id) FROM prelabels_clue clue WHERE clue.clip_id = slot.clip_id),
      (ARRAY['shown', 'shown', 'shown', 'blind', 'none'])[1 + slot.id %% 5], '', '', now(), now()
    FROM checking_slot slot WHERE slot.corpus_id = %(corpus)s AND slot.kind = 'annotate'
"""
_ANNOTATIONS = """
    INSERT INTO checking_annotation (claim_id, clip_id, user_id, revision, description_zh, description_en, ov_zh, ov_en,
      label, reply, active_seconds, played_share, submitted_at)
    SELECT id, clip_id, user_id, 1, '', 'He frowns.', '[]', to_jsonb(ARRAY[words[1 + clip_id %% 8],
      words[1 + (hashint8(id) & 7)]]), words[1 + (hashint8(id) & 3)], '', 20 + (hashint8(id) & 63), 0.9, now()
      - make_interval(secs => %(days)s * 86400.0 * (1 - row_number() OVER (ORDER BY id) / %(all)s::float8))
    FROM checking_claim,
      (SELECT ARRAY['happy', 'angry', 'sad', 'calm', 'worried', 'tired', 'proud', 'annoyed']) w(words)
    WHERE corpus_id = %(corpus)s
"""
_CHECKS = """
    INSERT INTO checking_check (annotation_id, clue_id, position, verdict, modality, aspect, language, text, reason,
      active_seconds, played)
    SELECT said.id, clue.id, row_number() OVER (PARTITION BY said.id ORDER BY clue.id) - 1, did, clue.modality,
      clue.aspect, 'en', CASE did WHEN 'corrected' THEN 'The brows are raised, and the voice rises.' ELSE clue.text END,
      CASE did WHEN 'rejected' THEN 'overstated' ELSE '' END, 6, true
    FROM checking_annotation said JOIN checking_claim lease ON lease.id = said.claim_id AND lease.arm <> 'none'
      JOIN prelabels_clue clue ON clue.clip_id = said.clip_id CROSS JOIN LATERAL (
        SELECT (ARRAY['kept', 'kept', 'kept', 'corrected', 'rejected'])[1 + (said.id + clue.id) %% 5] AS did) d
    WHERE lease.corpus_id = %(corpus)s
"""


def measure(world: World, annotations: int) -> dict[str, Any]:
    """Fill a corpus with `annotations` annotations; count each report as a worker does; ask for its page."""
    from django.core.management import call_command

    from annotator.checking.quality import reports

    call_command("collectstatic", interactive=False, verbosity=0)
    began = time.perf_counter()
    corpus, manager = fill(max(annotations // PEOPLE, 1))
    filled = time.perf_counter() - began
    found: dict[str, Any] = {"annotations": annotations // PEOPLE * PEOPLE, "filled_s": round(filled, 1)}
    for kind in ADDRESSES:
        for days in (30, 0):
            found[f"{kind}_counted_{days}_s"] = reports.count(corpus.pk, kind, days)
        found[f"{kind}_page"] = latency([_page(corpus.slug, kind, manager) for _page_number in range(PAGES)])
    found["my_week_page"] = latency([_page(corpus.slug, "my-week", manager) for _page_number in range(PAGES)])
    return found


def _page(slug: str, kind: str, user: Any) -> float:
    """Seconds that a page takes, through all middleware, in this process."""
    from django.test import Client

    client = Client(HTTP_HOST="127.0.0.1")
    client.force_login(user)
    began = time.perf_counter()
    answer = client.get(f"/corpora/{slug}/{kind}/")
    took = time.perf_counter() - began
    if answer.status_code != 200 or b"every 4s" in answer.content:
        raise RuntimeError(f"{kind}: {answer.status_code}, or not counted")
    return took


def fill(clips: int) -> tuple[Any, Any]:
    """A corpus as the module's docstring says, and an admin."""
    from django.db import connection

    from annotator.accounts.models import User
    from annotator.checking import records, services
    from annotator.checking.models import Annotation
    from annotator.checking.submissions import body_of
    from annotator.clips.models import Clip, Corpus
    from annotator.prelabels.models import PreLabeller

    corpus = Corpus.objects.create(slug="quality", name="Quality", licence="open", overlap=PEOPLE, review="none")
    admin = User.objects.create(username="quality-admin", is_superuser=True, is_staff=True)
    users = [User.objects.create(username=f"quality-{n}") for n in range(PEOPLE - 1)] + [admin]
    drafted = [PreLabeller.objects.create(name=f"quality-{n}", kind="import") for n in range(CLUES)]
    model = Clip.objects.create(corpus=corpus, name="clip-0000000", duration=4.0)
    values: dict[str, Any] = {"corpus": corpus.pk, "model": model.pk, "clips": clips - 1, "days": DAYS}
    values |= {"users": [user.pk for user in users], "prelabellers": [one.pk for one in drafted], "all": clips * PEOPLE}
    with connection.cursor() as cursor:
        cursor.execute(_CLIPS, values)
        services.open_slots(corpus)
        for statement in (_SLOTS, _CLUES, _CLAIMS, _ANNOTATIONS, _CHECKS):
            cursor.execute(statement, values)
        cursor.execute("ANALYZE")
    for annotation in Annotation.objects.filter(claim__corpus=corpus, user=admin).order_by("id")[: clips // 10]:
        content = records.checked_content(body_of(annotation))
        records.write(annotation.clip, "fine", content, source="submission", annotation=annotation)
    return corpus, admin
