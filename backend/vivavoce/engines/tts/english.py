"""English words to phonemes, shared by the engines of one process: its lexicon takes 100 MB."""

from __future__ import annotations

from functools import lru_cache

from hibari.g2p import G2P


@lru_cache(maxsize=1)
def english_g2p() -> G2P:
    """The American grapheme-to-phoneme converter, loaded at the first call (0.6 s) and warm."""
    g2p = G2P()
    g2p("Vivavoce is warm.")  # an unknown word loads the network for those, too
    return g2p
