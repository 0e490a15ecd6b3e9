"""What clips tell to the rooms above."""

from django.dispatch import Signal

clips_changed = Signal()  # corpus, clip_ids: clips were created; sent inside the transaction
subtitles_changed = Signal()  # corpus, clip_ids: clips got a subtitle after they were made; inside the transaction
person_chosen = Signal()  # clip_ids: the clips are about somebody else now; sent inside the transaction
clip_withdrawn = Signal()  # clip: withdrawn for good; sent inside the transaction
