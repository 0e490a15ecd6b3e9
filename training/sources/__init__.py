"""Training samples from files that are no snapshot folder, read as if they were one.

``KIND:PATH[,key=value …]`` stands wherever a snapshot may be named::

    emer-v1:DIR                    gt-eng.csv and gt-chi.csv
    emer-v2:FILE[,openset=FILE]    final-EMER-reason.csv, with MER2024's labels
    merr:FILE[,subtitles=FILE]     MERR's JSON, coarse or fine
    mer2025-ovmerd:DIR             track2_train_ovmerd.csv, track3_train_ovmerd.csv (or -mercaptionplus, -human)
    cc_sbu:FILE                    MiniGPT-4's filter_cap.json
    llava:FILE                     LLaVA's llava_instruct_150k.json
    videochat:FILE                 VideoChat's videochat_instruct_11k.json

EMER's own split into training and test was never published, so one is drawn: 80/20 by clip name and ``seed`` (0),
``test`` another share. The digest is that of the snapshot folder which ``stored`` writes of it.
"""

from .mixture import Source, load_sources
from .spec import KINDS, Spec, parse_spec
from .virtual import read_source, stored

__all__ = ["KINDS", "Source", "Spec", "load_sources", "parse_spec", "read_source", "stored"]
