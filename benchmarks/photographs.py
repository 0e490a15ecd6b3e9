"""Clips that look like found material: a photographed face with camera motion, spoken Chinese or English, avi or mp4.

The photograph is scikit-image's bundled astronaut (Eileen Collins, NASA, public domain); the voice is the eSpeak inside
parselmouth. Which emotion a line is spoken with is invented.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from models_ml.synthetic import speech
from models_ml.synthetic.scenarios import SPEAKERS, VOICES

FPS = 25
SIDE = 288  # pixels
FACE = (222, 108)  # centre of the face in the photograph, x and y


class Line(NamedTuple):
    name: str  # with its suffix
    speaker: int  # of the synthetic corpus' speakers
    emotion: str
    zh: str
    en: str


LINES = (
    Line("采访_01.mp4", 0, "happy", "太好了，我们终于成功了！", "Wonderful, we made it at last!"),
    Line("采访_02.avi", 2, "angry", "你为什么从来不听我说完？", "Why do you never let me finish?"),
    Line("采访_03.mp4", 0, "sad", "他走了以后，家里一直很安静。", "Since he left the house has been quiet."),
    Line("interview_04.avi", 1, "surprise", "什么？你今天就要走？", "What? You are leaving today?"),
    Line("interview_05.mp4", 3, "worried", "她到现在还没有打电话来。", "She still has not called me."),
    Line(
        "interview_06.mp4", 1, "neutral", "会议从九点开始，请准时。", "The meeting starts at nine, please be on time."
    ),
    Line("采访_07.avi", 2, "disgust", "这味道实在太难闻了。", "That smell is really unbearable."),
    Line("interview_08.mp4", 3, "contempt", "当然，你总是最聪明的。", "Of course, you are always the clever one."),
)


def make_clips(folder: Path, seed: int = 0) -> list[Line]:
    """Write the clips and subtitles.csv into `folder`; deterministic per seed."""
    from skimage import data

    photograph = Image.fromarray(data.astronaut())
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["name,chinese,english"]
    for index, line in enumerate(LINES):
        rng = np.random.default_rng([seed, index])
        speaker = SPEAKERS[line.speaker]
        spoken = speech.speak(line.zh if speaker.language == "zh" else line.en, speaker, VOICES[line.emotion])
        seconds = round(len(spoken) / speech.RATE + 1.0, 2)
        wave = speech.in_a_room(spoken, 0.5, seconds, rng)
        write(folder / line.name, photograph, wave, rng)
        rows.append(f'{Path(line.name).stem},"{line.zh}","{line.en}"')
    (folder / "subtitles.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return list(LINES)


def write(path: Path, photograph: Image.Image, wave: np.ndarray, rng: np.random.Generator) -> None:
    """Encode the moving photograph with its sound: MPEG-4 and PCM in avi, H.264 and AAC in mp4."""
    import av

    avi = path.suffix == ".avi"
    n = round(len(wave) / speech.RATE * FPS)
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("mpeg4" if avi else "libx264", rate=FPS)
        video.width = video.height = SIDE
        video.pix_fmt = "yuv420p"
        audio: Any = container.add_stream("pcm_s16le" if avi else "aac", rate=speech.RATE, layout="mono")
        zoom, drift = rng.uniform(0.8, 1.1), rng.uniform(-12, 12, 2)
        shake = rng.normal(0, 0.8, (n, 2)).cumsum(axis=0)
        for i in range(n):
            share = i / max(1, n - 1)
            half = 90 * zoom * (1 - 0.15 * share)  # pixels of the photograph, half a side: it zooms in
            x, y = np.add(FACE, drift * share + shake[i])
            box = (x - half, max(0.0, y - half), x + half, max(2 * half, y + half))
            picture = photograph.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)
            container.mux(video.encode(av.VideoFrame.from_image(picture)))
        container.mux(video.encode())
        samples = np.round(wave * 32767).astype("<i2")[None]
        for at in range(0, samples.shape[1], 1024):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, at : at + 1024]), "s16", "mono")
            frame.sample_rate, frame.pts = speech.RATE, at
            container.mux(audio.encode(frame))
        container.mux(audio.encode())
