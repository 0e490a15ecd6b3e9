"""The annotation workload, the same on every machine: clip i and what an annotator makes of it.

Per clip a subtitle of 12 words and three pre-label texts of 40 words (visual, audio, and what the words imply); the
annotator keeps two, corrects one, writes a description of 40 words and chooses two emotion words. Every second clip
is Chinese, where 40 words are 40 two-character words.
"""

import json
import random
from typing import Any

SEED = 20240501


def _words(text: str) -> list[str]:
    return text.split()


EN = _words(
    "the woman in the picture raises her inner brows and lowers her eyes while her lips are pressed together "
    "then she turns away with a short breath her voice falls at the end it trembles slightly and the pauses are "
    "long as if she were looking for words that do not hurt"
)

ZH = _words(
    "画面 人物 眉头 紧锁 目光 低垂 嘴唇 紧闭 随后 转身 呼吸 急促 声音 颤抖 语速 缓慢 音调 下降 停顿 较长 "
    "似乎 正在 寻找 合适 词语 不想 伤害 对方 心里 难过 表面 平静 忽然 抬头 露出 惊讶 神情 语气 变得 坚定"
)

LABELS = {
    "en": ["happy", "sad", "angry", "surprised", "worried", "disgusted", "relieved", "contemptuous", "calm"],
    "zh": ["高兴", "难过", "生气", "惊讶", "担心", "厌恶", "释然", "轻蔑", "平静"],
}
CLUES = (("visual", "expression"), ("audio", "tone"), ("text", "content"))


def language_of(index: int) -> str:
    return ("en", "zh")[index % 2]


def sentence(rng: random.Random, language: str, words: int) -> str:
    """`words` words of the language's vocabulary."""
    if language == "zh":
        return "".join(rng.choices(ZH, k=words)) + "。"
    return " ".join(rng.choices(EN, k=words)).capitalize() + "."


def clip(index: int, seed: int = SEED) -> dict[str, Any]:
    """Clip `index` as a manifest row with its clues; depends on (seed, index) alone."""
    rng = random.Random(f"clip {seed} {index}")
    language = language_of(index)
    return {
        "name": f"clip_{index:08d}",
        "media": f"https://media.example.org/clips/clip_{index:08d}.mp4",
        "duration": round(rng.uniform(1.5, 8.0), 3),
        "source": f"film_{index // 40:05d}",
        "speaker": f"speaker_{index // 5:06d}",
        "label": rng.choice(LABELS["en"]),
        f"subtitle_{language}": f"[{index}] " + sentence(rng, language, 12),
        "clues": [
            {
                "modality": modality,
                "aspect": aspect,
                "language": language,
                "text": sentence(rng, language, 40),
                "source": "benchmark",
            }
            for modality, aspect in CLUES
        ],
    }


def line(index: int, seed: int = SEED) -> str:
    """Clip `index` as a line of a manifest."""
    return json.dumps(clip(index, seed), ensure_ascii=False) + "\n"


def body(claim: dict[str, Any], seed: int = SEED) -> dict[str, Any]:
    """What the annotator submits for a claim's JSON: the last clue corrected, the others kept."""
    index = int(claim["clip"]["name"].rpartition("_")[2])
    rng = random.Random(f"body {seed} {index}")
    language = language_of(index)
    keys = ("id", "modality", "aspect", "language", "text", "span")
    clues = [{**{key: clue[key] for key in keys}, "verdict": "kept"} for clue in claim["clues"]]
    clues[-1] |= {"verdict": "corrected", "text": sentence(rng, language, 40)}
    other = "zh" if language == "en" else "en"
    return {
        "clues": clues,
        "description": {language: sentence(rng, language, 40), other: ""},
        "ov_labels": {language: sorted(rng.sample(LABELS[language], 2)), other: []},
    }
