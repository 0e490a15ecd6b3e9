"""The smallest adapter that does something: it measures, without a model, how loud a sound and how bright pictures are.

    python serve.py level:describe --port 8012

A test runs it in an environment of its own, which has nothing but Python, and asks it in a run of the workbench.
"""

import array
import math
import wave


def describe(frames, audio_path, prompt):
    """A sentence with the level of the sound in dB below full scale, and the pictures' mean brightness of 255."""
    said = []
    if audio_path is not None:
        said.append(f"The sound has a level of {level(audio_path):.1f} dB below full scale.")
    if frames:
        grey = [picture.convert("L") for picture in frames]
        mean = sum(sum(one.getdata()) / (one.width * one.height) for one in grey) / len(grey)
        said.append(f"The pictures have a mean brightness of {mean:.0f} of 255.")
    if not said:
        raise ValueError("there is neither sound nor a picture to measure")
    return " ".join(said)


def level(path):
    """Root mean square of a 16-bit WAV file in dB below full scale; 120 for silence."""
    with wave.open(str(path)) as file:
        samples = array.array("h", file.readframes(file.getnframes()))
    mean = sum(value * value for value in samples) / max(1, len(samples)) / 32768**2
    return -10 * math.log10(max(mean, 1e-12))
