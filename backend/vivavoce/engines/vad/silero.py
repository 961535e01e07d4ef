"""Silero VAD (v5 and v6) through ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from vivavoce.audio.pcm import require_finite
from vivavoce.engines.interfaces import SAMPLE_RATE, Pcm
from vivavoce.errors import WeightsUnavailable

FRAME_SAMPLES = 512
CONTEXT_SAMPLES = 64
"""The model sees the end of the frame before, too."""


class SileroVad:
    """Recurrent neural detector, 32 ms a frame; one object serves many streams and threads.

    model_path: the `.onnx` file, version 5 or 6. Raises WeightsUnavailable when it is missing.
    """

    frame_samples = FRAME_SAMPLES

    def __init__(self, model_path: Path, threads: int = 1) -> None:
        if not model_path.is_file():
            raise WeightsUnavailable(f"the Silero VAD model is not at {model_path}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # A frame takes 0.1 ms: a thread that spins until the next one would burn the core.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(model_path), options, providers=["CPUExecutionProvider"]
        )
        self.open().process(np.zeros(FRAME_SAMPLES, np.float32))

    def open(self) -> SileroStream:
        return SileroStream(self._session)


class SileroStream:
    """State of one stream: the network's memory, the last samples and an incomplete frame."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._state = np.zeros((2, 1, 128), np.float32)
        self._rate = np.array(SAMPLE_RATE, np.int64)
        # What is not yet judged, preceded by the context of its first frame.
        self._pending = np.zeros(CONTEXT_SAMPLES, np.float32)

    def process(self, pcm: Pcm) -> list[float]:
        """Speech probability of each frame of 512 samples that `pcm` completes.

        Raises InvalidRequest for NaN or infinity, which the state would never forget.
        """
        self._pending = np.concatenate([self._pending, require_finite(pcm)])
        probabilities = []
        start = 0
        while start + CONTEXT_SAMPLES + FRAME_SAMPLES <= len(self._pending):
            frame = self._pending[start : start + CONTEXT_SAMPLES + FRAME_SAMPLES]
            output, self._state = self._session.run(
                None, {"input": frame[None], "state": self._state, "sr": self._rate}
            )
            probabilities.append(float(output[0, 0]))
            start += FRAME_SAMPLES
        self._pending = self._pending[start:]
        return probabilities
