"""The design's promises about slots, claims, annotations, records and jobs, as SQL that finds what breaks them."""

from annotator.clips.models import Clip, Corpus
from annotator.core import invariants
from annotator.prelabels.models import Clue, DescriptionDraft, Job, Run

from .models import (
    Annotation,
    AutoDecision,
    Check,
    CheckingRules,
    Claim,
    Draft,
    GoldItem,
    Record,
    RecordRevision,
    Review,
    Slot,
)

TABLES = {
    model.__name__.lower(): model._meta.db_table
    for model in (
        *(Annotation, AutoDecision, Check, Claim, Clip, Clue, Corpus, DescriptionDraft, Draft, Job, Record),
        *(CheckingRules, GoldItem, RecordRevision, Review, Run, Slot),
    )
}

# (promise, name, query). A query gives (object, detail) of what is broken; {names} are tables.
QUERIES: list[tuple[str, str, str]] = [
    (
        "one holder",
        "a slot has one holder at most",
        """SELECT 'slot ' || slot_id, count(*) || ' claims hold it' FROM {claim}
           WHERE state IN ('live', 'returned', 'submitted') GROUP BY slot_id HAVING count(*) > 1""",
    ),
    (
        "one holder",
        "a person is on a clip once",
        """SELECT 'clip ' || clip_id, 'user ' || user_id || ' has ' || count(*) || ' claims' FROM {claim}
           GROUP BY clip_id, user_id HAVING count(*) > 1""",
    ),
    (
        "one holder",
        "a claimed slot has a holder, a done one a submitted claim, an open or closed one neither",
        """SELECT 'slot ' || slot.id,
                  'is ' || slot.state || ', its claims are ' || COALESCE(string_agg(claim.state, ', '), 'none')
           FROM {slot} slot LEFT JOIN {claim} claim
             ON claim.slot_id = slot.id AND claim.state IN ('live', 'returned', 'submitted')
           GROUP BY slot.id, slot.state
           HAVING (slot.state = 'claimed' AND count(*) FILTER (WHERE claim.state IN ('live', 'returned')) <> 1)
               OR (slot.state = 'done' AND count(*) FILTER (WHERE claim.state = 'submitted') <> 1)
               OR (slot.state = 'open' AND count(claim.id) > 0)
               OR (slot.state = 'closed' AND count(*) FILTER (WHERE claim.state IN ('live', 'returned')) > 0)""",
    ),
    (
        "one holder",
        "a claim, its slot and its clip belong together",
        """SELECT 'claim ' || claim.id, 'slot ' || slot.id || ' is of clip ' || slot.clip_id
           FROM {claim} claim JOIN {slot} slot ON slot.id = claim.slot_id JOIN {clip} clip ON clip.id = claim.clip_id
           WHERE slot.clip_id <> claim.clip_id
              OR claim.corpus_id <> clip.corpus_id OR slot.corpus_id <> clip.corpus_id""",
    ),
    (
        "one holder",
        "nobody reviews a clip that they annotated",
        """SELECT 'review ' || review.id, 'the reviewer annotated clip ' || review.clip_id
           FROM {review} review JOIN {annotation} annotation
             ON annotation.clip_id = review.clip_id AND annotation.user_id = review.reviewer_id""",
    ),
    (
        "one holder",
        "every clip has its annotate slots",
        """SELECT 'clip ' || clip.id, count(slot.id) || ' annotate slots, wanted '
                  || COALESCE(NULLIF(clip.overlap, 0), corpus.overlap)
           FROM {clip} clip JOIN {corpus} corpus ON corpus.id = clip.corpus_id
           LEFT JOIN {slot} slot ON slot.clip_id = clip.id AND slot.kind = 'annotate'
           WHERE clip.withdrawn_at IS NULL AND NOT EXISTS (SELECT 1 FROM {golditem} g WHERE g.clip_id = clip.id)
           GROUP BY clip.id, clip.overlap, corpus.overlap
           HAVING count(slot.id) < COALESCE(NULLIF(clip.overlap, 0), corpus.overlap)""",
    ),
    (
        "one holder",
        "a corpus that shows one modality alone has a review",
        """SELECT 'corpus ' || corpus.slug, 'shows ' || rules.modes::text || ' and is not reviewed'
           FROM {checkingrules} rules JOIN {corpus} corpus ON corpus.id = rules.corpus_id
           WHERE corpus.review <> 'required' AND EXISTS (
             SELECT 1 FROM jsonb_array_elements_text(rules.modes) mode WHERE mode <> '')""",
    ),
    (
        "nobody sees what they may not",
        "what was offered and judged is of the slot's modality",
        """SELECT 'claim ' || claim.id, 'shows ' || slot.mode || ' and was asked about ' || clue.modality
           FROM {claim} claim JOIN {slot} slot ON slot.id = claim.slot_id AND slot.mode <> ''
           JOIN {annotation} annotation ON annotation.claim_id = claim.id
           JOIN {check} checked ON checked.annotation_id = annotation.id
           JOIN {clue} clue ON clue.id = checked.clue_id WHERE clue.modality <> slot.mode""",
    ),
    (
        "withdrawal is real",
        "nothing is left to do on a withdrawn clip",
        """SELECT 'slot ' || slot.id, 'is ' || slot.state || ' though clip ' || clip.name || ' was withdrawn'
           FROM {slot} slot JOIN {clip} clip ON clip.id = slot.clip_id
           WHERE clip.withdrawn_at IS NOT NULL AND slot.state IN ('open', 'claimed')""",
    ),
    (
        "kept",
        "a submitted claim has its annotation or its review",
        """SELECT 'claim ' || claim.id, 'is submitted, and nothing was stored'
           FROM {claim} claim JOIN {slot} slot ON slot.id = claim.slot_id
           WHERE claim.state = 'submitted'
             AND NOT EXISTS (SELECT 1 FROM {annotation} a WHERE a.claim_id = claim.id AND slot.kind <> 'review')
             AND NOT EXISTS (SELECT 1 FROM {review} r WHERE r.claim_id = claim.id AND slot.kind = 'review')""",
    ),
    (
        "no faked result",
        "what was answered to a gold clip, or to a planted error, is in no record",
        """SELECT 'revision ' || revision.id, 'is made from claim ' || claim.id || ' on a ' || slot.kind || ' slot'
           FROM {recordrevision} revision JOIN {annotation} annotation ON annotation.id = revision.annotation_id
           JOIN {claim} claim ON claim.id = annotation.claim_id JOIN {slot} slot ON slot.id = claim.slot_id
           WHERE slot.kind = 'gold' OR claim.planted_id IS NOT NULL""",
    ),
    (
        "kept",
        "revisions of an annotation are 1, 2, 3 …",
        """SELECT 'claim ' || claim_id, count(*) || ' revisions, the last is ' || max(revision) FROM {annotation}
           GROUP BY claim_id HAVING max(revision) <> count(*) OR min(revision) <> 1""",
    ),
    (
        "kept",
        "versions of a draft are 1, 2, 3 …",
        """SELECT 'claim ' || claim_id, count(*) || ' versions, the last is ' || max(version) FROM {draft}
           GROUP BY claim_id HAVING max(version) <> count(*) OR min(version) <> 1""",
    ),
    (
        "kept",
        "every offered clue was judged",
        """SELECT 'annotation ' || annotation.id, 'no verdict on clue ' || (offered.id #>> '{{}}')
           FROM {annotation} annotation JOIN {claim} claim ON claim.id = annotation.claim_id
           CROSS JOIN LATERAL jsonb_array_elements(claim.offered) AS offered(id)
           LEFT JOIN {check} checked
             ON checked.annotation_id = annotation.id AND checked.clue_id = (offered.id #>> '{{}}')::bigint
           WHERE checked.id IS NULL""",
    ),
    (
        "once",
        "a submission or decision is recorded once",
        """SELECT 'annotation ' || annotation_id, count(*) || ' records from one submission' FROM {recordrevision}
           WHERE source = 'submission' GROUP BY annotation_id HAVING count(*) > 1
           UNION ALL
           SELECT 'review ' || review.id, count(revision.id) || ' revisions from one acceptance'
           FROM {review} review LEFT JOIN {recordrevision} revision ON revision.review_id = review.id
           WHERE review.decision = 'accept' GROUP BY review.id HAVING count(revision.id) <> 1
           UNION ALL
           SELECT 'revision ' || revision.id, count(decision.id) || ' decisions of the rule'
           FROM {recordrevision} revision LEFT JOIN {autodecision} decision ON decision.revision_id = revision.id
           WHERE revision.source = 'agreement' GROUP BY revision.id HAVING count(decision.id) <> 1""",
    ),
    (
        "once",
        "a run has one job per clip and step",
        """SELECT 'run ' || run_id, count(*) || ' jobs for ' || step || ' of clip ' || clip_id FROM {job}
           GROUP BY run_id, clip_id, step HAVING count(*) > 1""",
    ),
    (
        "once",
        "a job that is done has its effects, each once",
        """SELECT 'job ' || job.id, 'clue ' || (stored.id #>> '{{}}') || ' is missing'
           FROM {job} job
           CROSS JOIN LATERAL jsonb_array_elements(
             CASE WHEN jsonb_typeof(job.result -> 'clue_ids') = 'array' THEN job.result -> 'clue_ids' ELSE '[]' END
           ) AS stored(id)
           LEFT JOIN {clue} clue ON clue.id = (stored.id #>> '{{}}')::bigint
           WHERE job.state = 'done' AND clue.id IS NULL
           UNION ALL
           SELECT 'job ' || job.id, 'wrote ' || count(draft.id) || ' descriptions'
           FROM {job} job LEFT JOIN {descriptiondraft} draft ON draft.job_id = job.id
           WHERE job.state = 'done' AND jsonb_typeof(job.result -> 'description') = 'object'
           GROUP BY job.id HAVING count(draft.id) <> 1""",
    ),
    (
        "once",
        "a job that is not done has no effects",
        """SELECT 'job ' || job.id, 'is ' || job.state || ' and wrote clue ' || clue.id
           FROM {clue} clue JOIN {job} job ON job.id = clue.job_id WHERE job.state <> 'done'
           UNION ALL
           SELECT 'job ' || job.id, 'is ' || job.state || ' and wrote a description'
           FROM {descriptiondraft} draft JOIN {job} job ON job.id = draft.job_id WHERE job.state <> 'done'""",
    ),
    (
        "once",
        "a drafted description became one revision of the coarse record at most",
        """SELECT 'draft ' || draft_id, count(*) || ' revisions' FROM {recordrevision}
           WHERE draft_id IS NOT NULL GROUP BY draft_id HAVING count(*) > 1""",
    ),
    (
        "once",
        "a run's last word on a clip became a revision of the coarse record",
        """SELECT 'draft ' || newest.id, 'no revision' FROM (
             SELECT DISTINCT ON (job.run_id, job.clip_id) draft.id, draft.dropped, job.run_id, job.clip_id
             FROM {descriptiondraft} draft JOIN {job} job ON job.id = draft.job_id
             ORDER BY job.run_id, job.clip_id, draft.id DESC) newest
           JOIN {run} run ON run.id = newest.run_id JOIN {clip} clip ON clip.id = newest.clip_id
           WHERE run.finished_at IS NOT NULL AND run.state <> 'cancelled' AND newest.dropped = ''
             AND clip.withdrawn_at IS NULL
             AND NOT EXISTS (SELECT 1 FROM {recordrevision} revision WHERE revision.draft_id = newest.id)
             AND NOT EXISTS (SELECT 1 FROM {job} other WHERE other.run_id = newest.run_id
                             AND other.clip_id = newest.clip_id AND other.error_code = 'filtered')""",
    ),
    (
        "frozen",
        "a record's current revision is its own and its highest; numbers are 1, 2, 3 …",
        """SELECT 'record ' || record.id, 'current is ' || COALESCE(current.number::text, 'missing') || ' of '
                  || max(revision.number)
           FROM {record} record LEFT JOIN {recordrevision} revision ON revision.record_id = record.id
           LEFT JOIN {recordrevision} current ON current.id = record.current_id AND current.record_id = record.id
           GROUP BY record.id, current.number
           HAVING current.number IS NULL OR current.number <> max(revision.number)
               OR count(revision.id) <> max(revision.number)""",
    ),
    (
        "frozen",
        "a revision's hash is that of its line",
        """SELECT 'revision ' || id, 'stored ' || sha256 FROM {recordrevision}
           WHERE sha256 <> encode(sha256(convert_to(line || E'\\n', 'UTF8')), 'hex')""",
    ),
    (
        "frozen",
        "a line is of its record's clip and grade, with all keys",
        """SELECT 'revision ' || revision.id, 'the line says ' || COALESCE(said.line ->> 'clip', 'nothing') || ', '
                  || COALESCE(said.line ->> 'grade', 'nothing')
           FROM {recordrevision} revision JOIN {record} record ON record.id = revision.record_id
           JOIN {clip} clip ON clip.id = record.clip_id
           CROSS JOIN LATERAL (  -- what its hash disowns is named above, and need not be JSON
             SELECT CASE WHEN revision.sha256 = encode(sha256(convert_to(revision.line || E'\\n', 'UTF8')), 'hex')
                         THEN revision.line::jsonb END AS line
           ) said
           WHERE said.line IS NOT NULL AND (
              said.line ->> 'clip' IS DISTINCT FROM clip.name OR said.line ->> 'grade' IS DISTINCT FROM record.grade
              OR NOT said.line ?& array['media_sha256', 'duration', 'source', 'speaker', 'licence', 'subtitle',
                                        'label', 'clues', 'description', 'ov_labels'])""",
    ),
    (
        "every sentence has a source",
        "a coarse record comes from a run or an import, a fine one from people or an import",
        """SELECT 'revision ' || revision.id, record.grade || ' from ' || revision.source
           FROM {recordrevision} revision JOIN {record} record ON record.id = revision.record_id
           WHERE (record.grade = 'coarse' AND (revision.source NOT IN ('run', 'import')
                  OR revision.annotation_id IS NOT NULL OR revision.review_id IS NOT NULL))
              OR (record.grade = 'fine' AND revision.source NOT IN ('review', 'submission', 'agreement', 'import'))
              OR (revision.source IN ('review', 'submission', 'agreement') AND revision.annotation_id IS NULL)
              OR (revision.source = 'review' AND revision.review_id IS NULL)
              OR (revision.source = 'run' AND revision.draft_id IS NULL)""",
    ),
    (
        "every sentence has a source",
        "a record's annotation, review and draft are of its clip",
        """SELECT 'revision ' || revision.id, 'its source is of another clip'
           FROM {recordrevision} revision JOIN {record} record ON record.id = revision.record_id
           LEFT JOIN {annotation} annotation ON annotation.id = revision.annotation_id
           LEFT JOIN {review} review ON review.id = revision.review_id
           LEFT JOIN {descriptiondraft} draft ON draft.id = revision.draft_id
           WHERE COALESCE(annotation.clip_id, record.clip_id) <> record.clip_id
              OR COALESCE(review.clip_id, record.clip_id) <> record.clip_id
              OR COALESCE(draft.clip_id, record.clip_id) <> record.clip_id""",
    ),
    (
        "no review is lost",
        "a clip whose overlap is complete is under review or recorded",
        """SELECT 'clip ' || clip.id, 'all annotated, yet neither under review nor recorded'
           FROM {clip} clip JOIN {slot} slot ON slot.clip_id = clip.id AND slot.kind = 'annotate'
           WHERE clip.withdrawn_at IS NULL GROUP BY clip.id
           HAVING bool_and(slot.state IN ('done', 'closed')) AND bool_or(slot.state = 'done')
              AND NOT EXISTS (SELECT 1 FROM {slot} later
                              WHERE later.clip_id = clip.id AND later.kind = 'review' AND later.state <> 'done')
              AND NOT EXISTS (SELECT 1 FROM {record} fine WHERE fine.clip_id = clip.id AND fine.grade = 'fine')""",
    ),
]


def register() -> None:
    """Add this room's checks to the list; called when the app is ready."""
    for promise, name, query in QUERIES:
        invariants.register_sql(promise, name, query.format(**TABLES))
