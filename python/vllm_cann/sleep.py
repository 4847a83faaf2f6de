"""Sleep mode: the storages of weights and of the KV cache give their memory back, and have it again when the engine wakes up.

A storage of no bytes keeps its tensors, their views and shapes. Its memory has another address afterwards, which eager steps do not notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from vllm.device_allocator.sleep_mode_backend import SleepModeBackend, SleepModeBackendFactory

NAME = "cann"


def _bytes(storage: torch.UntypedStorage) -> torch.Tensor:
    """All bytes of a storage."""
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)


class _Storages:
    """Storages that sleep together. Each is one of several tensors, and counts once."""

    def __init__(self, tensors: Iterable[torch.Tensor]) -> None:
        storages = {id(one): one for one in (tensor.untyped_storage() for tensor in tensors if tensor.device.type == "npu")}
        by_address = {storage.data_ptr(): storage for storage in storages.values() if storage.nbytes() > 0}
        self._storages = list(by_address.values())
        self._sizes = [storage.nbytes() for storage in self._storages]
        self._saved: list[torch.Tensor] | None = None

    def free(self, saves: bool) -> None:
        """Gives the memory back; `saves` keeps the contents on the host."""
        self._saved = [_bytes(storage).cpu() for storage in self._storages] if saves else None
        for storage in self._storages:
            storage.resize_(0)

    def restore(self, clears: bool) -> None:
        """Takes memory again. What was not saved is 0 with `clears`, otherwise undefined until somebody writes it."""
        for storage, size in zip(self._storages, self._sizes, strict=True):
            storage.resize_(size)
        for storage, saved in zip(self._storages, self._saved or [], strict=self._saved is not None):
            _bytes(storage).copy_(saved)
        if clears:
            for storage in self._storages:
                _bytes(storage).zero_()
        self._saved = None


class CannSleepBackend(SleepModeBackend):
    """Frees and restores weights (`weights`) and the KV cache (`kv_cache`).

    Level 1 keeps the weights on the host, level 2 forgets them: then the caller loads weights after waking up. The KV cache is forgotten at
    both levels, and 0 afterwards. What else an engine has (activations, adapters, indices) stays on the device.
    """

    def __init__(self) -> None:
        super().__init__()
        self._tensors: dict[str, Callable[[], Iterable[torch.Tensor]]] = {}
        self._asleep: dict[str, _Storages] = {}

    def serve(self, **tensors: Callable[[], Iterable[torch.Tensor]]) -> None:
        """Tells what there is, by tag: functions, as loading makes new tensors."""
        self._tensors = tensors

    def suspend(self, level: int = 1) -> None:
        """Frees all tags. What sleeps already stays as it is."""
        self._free(("weights", "kv_cache"), saves=level == 1)

    def discard(self, tags: tuple[str, ...]) -> None:
        """Frees some tags without keeping their contents."""
        self._free(tags, saves=False)

    def _free(self, tags: Iterable[str], saves: bool) -> None:
        torch.npu.synchronize()
        for tag in tags:
            if tag in self._tensors and tag not in self._asleep:
                storages = _Storages(self._tensors[tag]())
                storages.free(saves=saves and tag == "weights")
                self._asleep[tag] = storages
        self._state = "SUSPENDED"
        torch.npu.empty_cache()

    def resume(self, tags: list[str] | None = None) -> None:
        """Takes the memory of all tags again, or of some."""
        self._state = "RESUMING"
        for tag in [tag for tag in self._asleep if tags is None or tag in tags]:
            self._asleep.pop(tag).restore(clears=tag == "kv_cache")
        torch.npu.synchronize()
        self._state = "SUSPENDED" if self._asleep else "RUNNING"

    @classmethod
    def preserves_communicators(cls) -> bool:
        return True


def register() -> None:
    """Makes the backend known to vLLM, once."""
    if NAME not in SleepModeBackendFactory._registry:
        SleepModeBackendFactory.register_backend(NAME, __name__, CannSleepBackend.__name__)
