"""Texts that Whisper makes up where nobody speaks."""

from __future__ import annotations

import re

_SAID_BY_NOBODY = re.compile(
    r"字幕(由|制作|提供|志愿者|by)|请不吝点赞|请订阅|明镜与点点|以下是普通话的句子"
    r"|amara\.org|subtitle[sd] by|transcri(bed|ption) by|\A[\W_]*\Z",
    re.IGNORECASE,
)
"""Credits of the subtitles that the model learnt from, and the echo of our own prompt."""

_MADE_UP_OF_NOISE = frozenset(
    {"you", "thank you", "thanks for watching", "thank you for watching", "bye", "bye bye"}
    | {"the end", "so", "oh", "hmm", "谢谢", "谢谢大家", "谢谢观看", "感谢观看", "呃", "嗯", "啊"}
)


def is_phantom(text: str, no_speech: float, avg_logprob: float) -> bool:
    """Whether `text` is the model's answer to noise rather than something said.

    no_speech: probability in [0, 1] that the audio is no speech; alone it proves little, since
    real turns reach 0.7. avg_logprob: mean log probability of the tokens.
    """
    if _SAID_BY_NOBODY.search(text):
        return True
    if no_speech > 0.6 and avg_logprob < -1.0:
        return True
    plain = re.sub(r"[\W_]+", " ", text.lower()).strip()
    return plain in _MADE_UP_OF_NOISE and no_speech > 0.5 and avg_logprob < -0.6
