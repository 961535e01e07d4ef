import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.text.clauses import ClauseLimits, ClauseSplitter

MEANINGFUL = " \n.,!?:;。，！？、…“”\"'()（）[]`*3459aABé你好我\u200d😀👍🏽"
TEXTS = st.text(st.one_of(st.sampled_from(MEANINGFUL), st.characters()), max_size=600)


def split(text: str, limits: ClauseLimits | None = None) -> list[str]:
    splitter = ClauseSplitter(limits)
    return [*splitter.push(text), *splitter.flush()]


@given(TEXTS, st.lists(st.integers(1, 9), min_size=1))
def test_clauses_are_the_text_however_it_is_chopped(text: str, sizes: list[int]) -> None:
    splitter, clauses, start, turn = ClauseSplitter(), [], 0, 0
    while start < len(text):
        size = sizes[turn % len(sizes)]
        clauses += splitter.push(text[start : start + size])
        start, turn = start + size, turn + 1
    clauses += splitter.flush()
    assert "".join(clauses) == text
    assert clauses == split(text)


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("Sure! I can help with that. Now", ["Sure! ", "I can help with that. ", "Now"]),
        ("Well, yes, of course, that is", ["Well, yes, of course, ", "that is"]),
        ("你好，我是小明。我能帮你什么？好", ["你好，", "我是小明。", "我能帮你什么？", "好"]),
        ("今天天气很好，我们去公园。", ["今天天气很好，", "我们去公园。"]),
        ("好的，“走吧。”他说。再见", ["好的，", "“走吧。”", "他说。", "再见"]),
        ("（好的。）然后走。", ["（好的。）", "然后走。"]),
        ('She said "go now." Then left.', ['She said "go now." ', "Then left."]),
        ("（他来了。他走了。）好。", ["（他来了。他走了。）", "好。"]),
        ("Title\nNext line", ["Title\n", "Next line"]),
        ("1. Apples are red\n2. Pears are not", ["1. Apples are red\n", "2. Pears are not"]),
        ("```\na. B\n\nc! D\n```\nDone", ["```\na. B\n\nc! D\n```\n", "Done"]),
    ],
)
def test_clauses(text: str, clauses: list[str]) -> None:
    assert split(text) == clauses


@pytest.mark.parametrize(
    "text",
    [
        "Pi is 3.14 or so",
        "It cost 1,234 dollars",
        "Meet me at 9:30 tonight",
        "Ask Dr. Smith in the U.S. about it",
        "Use a fruit, e.g. apples",
        "See https://a.example.com/x,y.html?q=1:2 now",
        "I waited... and then",
        "一共1,234元",
        "版本是3.14吗",
        "时间是9：30吧",
    ],
)
def test_marks_inside_a_word_do_not_split(text: str) -> None:
    limits = ClauseLimits(first_min_words=4, first_min_chars=99, first_open_words=99)
    assert split(text, limits) == [text]


def test_first_clause_goes_out_at_the_comma_at_once_in_chinese() -> None:
    assert ClauseSplitter().push("今天天气很好，") == ["今天天气很好，"]


def test_decimal_that_still_streams_waits() -> None:
    splitter = ClauseSplitter()
    assert splitter.push("The value is 3.") == []
    assert splitter.push("14") == []
    assert splitter.push(". Good") == ["The value is 3.14. "]


def test_first_clause_without_marks_ends_before_a_phrase() -> None:
    english = "I think the best way to get there is by train because the roads"
    assert split(english) == ["I think the best way ", english[21:]]
    chinese = "我觉得我们明天可以一起去公园但是要早点出发"
    assert split(chinese)[0] == "我觉得我们明天"


def test_later_clauses_are_whole_sentences_until_they_are_long() -> None:
    text = "Yes. First, we go to the shop, then home. " + "One two three four, " * 8
    clauses = split(text)
    assert clauses[1] == "First, we go to the shop, then home. "
    assert clauses[2] == "One two three four, " * 5


@pytest.mark.parametrize(
    ("text", "limit"),
    [("word " * 200, 200), ("好" * 300, 60), ("x" * 1000, 400), ("😀" * 1000, 400)],
)
def test_hard_cap(text: str, limit: int) -> None:
    clauses = split(text)
    assert "".join(clauses) == text
    assert max(map(len, clauses)) <= limit
    if " " in text:
        assert all(clause.endswith(" ") for clause in clauses)


def test_flush_leaves_nothing() -> None:
    splitter = ClauseSplitter()
    splitter.push("Hello there")
    assert splitter.flush() == ["Hello there"]
    assert splitter.flush() == []
