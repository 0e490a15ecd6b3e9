"""What the synthetic clips show: emotions, speakers and lines. All invented; no person is depicted.

Faces follow the prototypes of `models_ml.face.peak` (EMFACS). Voices follow the directions reported by
Juslin & Laukka (2003), Psychol. Bull. 129:770 (table 7): anger and joy louder and faster, joy and fear
higher, sadness lower, softer and slower; the sizes are ours, chosen to be heard.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Voice:
    """How a line is spoken, relative to the speaker's neutral voice."""

    pitch: float  # factor on the mean pitch
    pitch_range: float  # factor on the pitch range, 0..2
    gain_db: float
    tempo: float  # factor on words per minute


@dataclass(frozen=True)
class Speaker:
    """A drawn face and an eSpeak voice; one language each, so that a speaker has one usual pitch."""

    code: str
    language: str  # zh | en
    voice: str  # eSpeak voice variant
    pitch: float
    words_per_minute: int
    spread: float  # factor on the pitch range: eSpeak's Mandarin is flatter than its English
    skin: tuple[int, int, int]
    hair: tuple[int, int, int]
    iris: tuple[int, int, int]
    shirt: tuple[int, int, int]
    wall: tuple[int, int, int]
    lips: tuple[int, int, int]
    style: str  # short | long | bob | receding
    brow: float  # thickness of the eyebrows, 1 = usual
    width: float  # of the face, 1 = usual
    glasses: bool = False
    lashes: bool = False


@dataclass(frozen=True)
class Scenario:
    """One line with the emotion behind it; where face or voice are given they differ from the words."""

    emotion: str
    zh: str
    en: str
    face: dict[str, float] | None = None  # AU -> intensity 0..5; None: the emotion's own
    voice: str | None = None  # another emotion's voice; None: the emotion's own


FACES: dict[str, dict[str, float]] = {
    "neutral": {},
    "happy": {"AU06": 3.2, "AU12": 3.8},
    "sad": {"AU01": 3.4, "AU04": 2.2, "AU15": 3.4},
    "angry": {"AU04": 4.0, "AU05": 2.2, "AU07": 3.0, "AU23": 3.0},
    "surprise": {"AU01": 3.2, "AU02": 3.4, "AU05": 3.8, "AU26": 3.4},
    "worried": {"AU01": 3.4, "AU04": 2.8, "AU20": 3.0},
    "contempt": {"AU10": 1.8, "AU14": 3.6},
    "disgust": {"AU09": 3.6, "AU10": 3.4, "AU17": 2.4},
}
VOICES: dict[str, Voice] = {
    "neutral": Voice(1.0, 0.8, 0.0, 1.0),
    "happy": Voice(1.25, 1.5, 3.0, 1.12),
    "sad": Voice(0.84, 0.5, -6.0, 0.76),
    "angry": Voice(1.14, 1.2, 8.0, 1.22),
    "surprise": Voice(1.42, 1.8, 5.0, 1.1),
    "worried": Voice(1.12, 0.7, -3.0, 1.16),
    "contempt": Voice(0.92, 0.6, -1.5, 0.88),
    "disgust": Voice(0.9, 0.9, 1.5, 0.9),
}
SPEAKERS: tuple[Speaker, ...] = (
    Speaker("lin", "zh", "Female1", 1.3, 195, 1.3, (241, 205, 178), (38, 30, 32), (74, 48, 34), (176, 72, 82),
            (198, 210, 214), (196, 98, 98), "long", 0.85, 0.97, lashes=True),
    Speaker("harris", "en", "Male1", 1.0, 175, 1.0, (226, 178, 146), (92, 60, 38), (72, 104, 120), (58, 84, 120),
            (214, 204, 188), (180, 100, 90), "short", 1.25, 1.04),
    Speaker("zhou", "zh", "Male2", 1.25, 215, 1.3, (232, 190, 156), (44, 40, 42), (60, 42, 32), (70, 104, 86),
            (206, 202, 214), (178, 102, 92), "receding", 1.15, 1.03, glasses=True),
    Speaker("amara", "en", "Female2", 1.1, 180, 1.0, (150, 98, 68), (30, 22, 22), (52, 32, 22), (222, 172, 72),
            (190, 206, 196), (142, 66, 66), "bob", 1.0, 1.0, lashes=True),
)  # fmt: skip

#: A smile of the mouth alone over sad brows: the masking that the words alone would hide.
MASKED_SAD = {"AU01": 3.2, "AU04": 2.0, "AU12": 2.2, "AU15": 1.4}
MASKED_ANGER = {"AU04": 2.6, "AU07": 2.4, "AU12": 2.0}
SCENARIOS: tuple[Scenario, ...] = (
    Scenario("happy", "我们赢了，今天真是太开心了！", "We won! I am so happy today!"),
    Scenario("angry", "我跟你说过多少遍，别动我的东西！", "How many times have I told you not to touch my things!"),
    Scenario("sad", "我没事，真的，你们先走吧。", "I'm fine, really. You go ahead.", MASKED_SAD),
    Scenario("surprise", "天哪，你怎么突然回来了？", "Oh my goodness, when did you get back?"),
    Scenario("worried", "都十点了，他怎么还不接电话？", "It's ten already. Why isn't he picking up?"),
    Scenario("neutral", "会议改到下午三点，在二楼。", "The meeting has moved to three, on the second floor."),
    Scenario("contempt", "太好了，又要加班，我高兴极了。", "Wonderful, overtime again. I am thrilled."),
    Scenario("disgust", "这牛奶都坏了，你闻闻。", "This milk has gone off. Just smell it."),
    Scenario("angry", "谁生气了？我一点都不生气！", "Who is angry? I am not angry at all!"),
    Scenario("happy", "你这个讨厌鬼，我想死你了！", "You rascal, I missed you so much!"),
    Scenario("neutral", "车票我已经订好了，明天早上出发。", "I have booked the tickets. We leave tomorrow morning."),
    Scenario("sad", "它陪了我十年，昨天走了。", "It was with me for ten years, and yesterday it was gone."),
    Scenario("surprise", "什么？一等奖是我？", "What? The first prize is mine?"),
    Scenario("worried", "没关系，医生说问题不大。", "It's all right. The doctor says it is nothing much."),
    Scenario("contempt", "恭喜你，又是你最聪明。", "Congratulations, you are the clever one again."),
    Scenario("happy", "宝宝刚才叫我妈妈了！", "The baby has just called my name!"),
    Scenario("angry", "没问题，你说了算，随便你。", "No problem. You decide, as you please.", MASKED_ANGER),
    Scenario("neutral", "把这份文件复印三份，谢谢。", "Three copies of this document, please."),
    Scenario("disgust", "你把袜子放在餐桌上？", "You put your socks on the dinner table?"),
    Scenario("sad", "恭喜你们，我真为你们高兴。", "Congratulations. I am truly glad for you both.", MASKED_SAD),
    Scenario("surprise", "这么贵？你没看错吧？", "That much? Are you sure you read it right?"),
    Scenario(
        "happy",
        "哭什么，我这是高兴的。",
        "Don't mind the tears, I'm just happy.",
        {"AU06": 3.4, "AU12": 3.0, "AU01": 2.2},
    ),
    Scenario("worried", "你慢点开，外面路很滑。", "Please drive slowly, the road is icy."),
    Scenario("sad", "算了，反正也没有人在乎。", "Never mind. Nobody cares anyway."),
)
#: Put before a line from the second round on, so that thousands of clips have hundreds of subtitles.
OPENERS: tuple[tuple[str, str], ...] = (
    ("", ""),
    ("听我说，", "Listen. "),
    ("说实话，", "Honestly. "),
    ("小王，", "Wang. "),
    ("那个，", "Well. "),
    ("你看，", "Look. "),
    ("我跟你讲，", "I tell you. "),
    ("老师，", "Teacher. "),
    ("妈，", "Mum. "),
    ("老同学，", "Old friend. "),
    ("刚才啊，", "Just now. "),
    ("行了，", "All right. "),
)
