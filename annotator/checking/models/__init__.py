"""Slots, claims, drafts, annotations and their checks, reviews, records; the rules that they are made under."""

from .asking import SummaryRequest
from .notes import Comment, WorkPreference
from .quality import REPORTS, QualityReport
from .results import AutoDecision, Record, RecordRevision, Review
from .rules import PURPOSES, STAGES, CheckingRules, GoldItem, PlantedError, Standing, TermsAcceptance
from .work import ARMS, CLAIM_STATES, MODES, VERDICTS, Annotation, Check, Claim, Draft, QueuePlace, Slot, Summary

__all__ = [
    "ARMS",
    "CLAIM_STATES",
    "MODES",
    "PURPOSES",
    "REPORTS",
    "STAGES",
    "VERDICTS",
    "Annotation",
    "AutoDecision",
    "Check",
    "CheckingRules",
    "Claim",
    "Comment",
    "Draft",
    "GoldItem",
    "PlantedError",
    "QualityReport",
    "QueuePlace",
    "Record",
    "RecordRevision",
    "Review",
    "Slot",
    "Standing",
    "Summary",
    "SummaryRequest",
    "TermsAcceptance",
    "WorkPreference",
]
