"""Slots, claims, drafts, annotations and their checks, reviews, records; the rules that they are made under."""

from .notes import Comment, WorkPreference
from .results import AutoDecision, Record, RecordRevision, Review
from .rules import PURPOSES, STAGES, CheckingRules, GoldItem, PlantedError, Standing, TermsAcceptance
from .work import ARMS, CLAIM_STATES, MODES, VERDICTS, Annotation, Check, Claim, Draft, QueuePlace, Slot, Summary

__all__ = [
    "ARMS",
    "CLAIM_STATES",
    "MODES",
    "PURPOSES",
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
    "QueuePlace",
    "Record",
    "RecordRevision",
    "Review",
    "Slot",
    "Standing",
    "Summary",
    "TermsAcceptance",
    "WorkPreference",
]
