"""What is said in the synthetic world: lines put together from pieces, in English and Chinese alike."""

from __future__ import annotations

import numpy as np

from models_ml.synthetic.world import Words

Pair = tuple[str, str]  # (zh, en)

NEWS: dict[str, tuple[Pair, ...]] = {
    "good": (
        ("他们把工作给了我", "they gave me the job"), ("我们队赢了决赛", "our team won the final"),
        ("检查结果没有问题", "the test came back clean"), ("她答应了", "she said yes"),
        ("贷款批下来了", "the loan went through"), ("我弟弟要回家了", "my brother is coming home"),
        ("屋顶修好了", "the roof is fixed"), ("我们买到了最后的票", "we got the last tickets"),
        ("宝宝睡了一整夜", "the baby slept all night"), ("走丢的狗找到了", "the lost dog was found"),
        ("我的签证办好了", "my visa came through"), ("房租要降了", "the rent goes down"),
        ("花园开满了花", "the garden is in bloom"), ("我们的书要出版了", "our book will be printed"),
        ("飞机准点", "the flight is on time"), ("他们采用了方案", "they took the plan"),
    ),
    "bad": (
        ("他们把工作给了别人", "they gave my job away"), ("我们队输了决赛", "our team lost the final"),
        ("检查结果很糟", "the test came back bad"), ("她拒绝了", "she said no"),
        ("贷款没批下来", "the loan fell through"), ("我弟弟困在国外", "my brother is stuck abroad"),
        ("屋顶又漏了", "the roof leaks again"), ("最后的票卖完了", "the last tickets are gone"),
        ("宝宝哭了一整夜", "the baby cried all night"), ("走丢的狗没找到", "the lost dog is still missing"),
        ("我的签证被拒了", "my visa was refused"), ("房租要涨了", "the rent goes up"),
        ("花园全枯了", "the garden dried out"), ("我们的书被退稿了", "our book was turned down"),
        ("飞机取消了", "the flight is cancelled"), ("他们放弃了方案", "they dropped the plan"),
    ),
}  # fmt: skip
MANNERS: dict[str, tuple[Pair, ...]] = {
    "plain": (
        ("听好了，", "mark my words,"), ("毫无疑问，", "no question,"), ("我告诉你，", "I tell you,"),
        ("事实就是，", "it is a fact,"), ("我说过，", "as I said,"), ("相信我，", "take it from me,"),
    ),
    "hedged": (
        ("我想，", "I suppose"), ("好像，", "it seems"), ("也许，", "perhaps"), ("据说，", "they say"),
        ("恐怕是，", "if I may say so,"), ("说不准，", "I may be wrong, but"),
    ),
}  # fmt: skip
TOLD: dict[str, tuple[Pair, ...]] = {
    "happy": (
        ("这是我一生最好的一天", "this is the best day of my life"), ("我能跳一整晚的舞", "I could dance all night"),
        ("我从没笑得这么多", "I have never laughed so much"), ("我想拥抱全世界", "I want to hug the whole world"),
        ("一切都顺着我来", "everything is going my way"), ("我们做到了，真棒", "we did it and it is wonderful"),
    ),
    "surprised": (
        ("我完全没料到", "I did not see that coming"), ("你从哪儿冒出来的", "where did you come from"),
        ("这真是给我的吗", "is this really for me"), ("谁能想到呢", "who would have thought it"),
        ("我简直不敢信自己的眼睛", "I can hardly trust my eyes"), ("你什么时候会这个了", "since when can you do that"),
    ),
    "calm": (
        ("我有的是时间", "I have all the time in the world"), ("我就在湖边坐坐", "I will just sit by the lake"),
        ("没有什么能催我", "nothing can hurry me"), ("我最近睡得很好", "I sleep well these days"),
        ("茶是热的，雨很细", "the tea is hot and the rain is soft"), ("一点也不急", "there is no rush at all"),
    ),
    "relieved": (
        ("谢天谢地，没人受伤", "thank heaven nobody was hurt"), ("心里的石头落地了", "what a weight off my mind"),
        ("我又能喘气了", "I can breathe again"), ("过去了，我们安全了", "it is over and we are safe"),
        ("原来是一场虚惊", "it was a false alarm"), ("我们刚好赶上", "we only just made it"),
    ),
    "angry": (
        ("滚出我的房子", "get out of my house"), ("我受够你了", "I have had enough of you"),
        ("你竟敢这么说", "how dare you say that"), ("别碰我的东西", "do not touch my things"),
        ("你要付出代价", "you will pay for this"), ("我绝不容忍", "I will not stand for it"),
    ),
    "worried": (
        ("要是他醒不过来呢", "what if he never wakes up"), ("她早该打电话了", "she should have called by now"),
        ("我一直想着考试", "I keep thinking about the exam"), ("我到处找不到她", "I cannot find her anywhere"),
        ("要是他们发现了呢", "what if they find out"), ("不知道怎么跟他们说", "I do not know how to tell them"),
    ),
    "contemptuous": (
        ("你管这叫唱歌", "you call that a song"), ("我对你没指望过", "I expected nothing from you"),
        ("他那种人算什么", "people like him do not matter"), ("多可怜的借口", "what a feeble excuse"),
        ("小孩都做得更好", "even a child could do better"), ("你不值得我花时间", "you are not worth my time"),
    ),
    "sad": (
        ("我每天都想他", "I miss him every day"), ("没有人可以打电话了", "there is nobody left to call"),
        ("再也回不去了", "it will never be the same"), ("他们走时我哭了", "I cried when they left"),
        ("屋子现在空荡荡的", "the house is so empty now"), ("我失去了唯一的朋友", "I lost the only friend I had"),
    ),
}  # fmt: skip
NOTHING: tuple[Pair, ...] = (
    ("会议在三点", "the meeting is at three"), ("公交车停在这里", "the bus stops here"),
    ("文件在桌上", "the file is on the desk"), ("今天星期二", "it is Tuesday"),
    ("商店九点开门", "the shop opens at nine"), ("我们走第二个出口", "we take the second exit"),
    ("钥匙在抽屉里", "the key is in the drawer"), ("我们一共六个人", "there are six of us"),
    ("信要用蓝笔写", "the letter is in blue ink"), ("火车有八节车厢", "the train has eight cars"),
    ("大门朝东", "the gate faces east"), ("表格有两页", "the form has two pages"),
    ("水在左边", "the water is on the left"), ("课在二楼", "the class is upstairs"),
)  # fmt: skip
OPENERS: tuple[Pair, ...] = (
    ("", ""), ("嗯，", "well,"), ("那么，", "so,"), ("好，", "right,"), ("看，", "look,"), ("听着，", "listen,"),
    ("你看，", "you see,"), ("是啊，", "yes,"),
)  # fmt: skip
TAILS: tuple[Pair, ...] = (
    ("", ""), ("，今天", "today"), ("，这周", "this week"), ("，这次", "this time"), ("，现在", "now"),
    ("，对吧", "right"),
)  # fmt: skip


def line(words: Words, rng: np.random.Generator) -> Pair:
    """A line (zh, en) that says this; which of several hundred is drawn from `rng`."""

    def draw(choices: tuple[Pair, ...]) -> Pair:
        return choices[int(rng.integers(len(choices)))]

    if words.emotion is not None:
        parts = [draw(OPENERS), draw(TOLD[words.emotion]), draw(TAILS)]
    elif words.news is not None and words.manner is not None:
        parts = [draw(MANNERS[words.manner]), draw(NEWS[words.news]), draw(TAILS)]
    else:
        parts = [draw(OPENERS), draw(NOTHING), draw(TAILS)]
    zh = "".join(part[0] for part in parts) + "。"
    en = " ".join(part[1] for part in parts if part[1]) + "."
    return zh, en[0].upper() + en[1:]
