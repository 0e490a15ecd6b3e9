"""Who reads a summary's stream, and when they have gone."""

import asyncio

import pytest

from annotator.checking.streams import Feed


async def _leave(together_with_news: bool) -> Feed:
    feed = Feed()

    async def read() -> None:
        async for _part in feed.follow(0):
            pass

    reader = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    assert len(feed.readers) == 1
    if together_with_news:
        feed._add("text", "{}", False)
    reader.cancel()
    ended, _under_way = await asyncio.wait([reader], timeout=2)
    assert ended == {reader}
    assert reader.cancelled()
    return feed


@pytest.mark.parametrize("together_with_news", [False, True], ids=["in-silence", "with-a-piece"])
def test_a_reader_that_leaves_is_not_counted_any_longer(together_with_news: bool) -> None:
    feed = asyncio.run(_leave(together_with_news))
    assert not feed.readers
    assert feed.wanted()  # for a moment: a page that reloads comes back
    feed.left_at -= 60
    assert not feed.wanted()
