"""What pre-labelling tells to the rooms above."""

from django.dispatch import Signal

draft_written = Signal()  # draft: a DescriptionDraft; sent inside the job's transaction
