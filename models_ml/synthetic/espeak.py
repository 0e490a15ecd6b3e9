"""Says one line with eSpeak NG (as Praat carries it) and writes float32 samples to stdout.

A script of its own, run in a fresh process per line: eSpeak carries the phase of its pitch flutter from one
utterance to the next, so only the first one of a process is the same every time.
Arguments: LANGUAGE VOICE PITCH_FACTOR RANGE_FACTOR WORDS_PER_MINUTE RATE_HZ TEXT.
"""

import sys

from parselmouth.praat import call


def main(argv: list[str]) -> None:
    language, voice, pitch, spread, words_per_minute, rate, text = argv
    synthesizer = call("Create SpeechSynthesizer", language, voice)
    settings = (float(rate), 0.01, float(pitch), float(spread), int(words_per_minute), "IPA")
    call(synthesizer, "Speech output settings", *settings)
    sounds = call(synthesizer, "To Sound", text, "no")
    sound = sounds[0] if isinstance(sounds, list) else sounds
    sys.stdout.buffer.write(sound.values[0].astype("<f4").tobytes())


if __name__ == "__main__":
    main(sys.argv[1:])
