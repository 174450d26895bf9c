"""What Energon asks of its users: a task encoder, which must be importable by its workers."""

from __future__ import annotations

from typing import Any, ClassVar


def task_encoder(decode: bool) -> Any:
    """Makes samples of crude ones, decodes after the shuffle buffer, and batches as all others do."""
    from dataclasses import dataclass

    from megatron.energon import Cooker, DefaultTaskEncoder, Sample, basic_sample_keys, stateless

    from tests.bench.loaders import collate, sample

    @dataclass
    class Chat(Sample):
        jpeg: bytes

    @stateless
    def cook(found: dict[str, Any]) -> Any:
        return Chat(**basic_sample_keys(found), jpeg=found["jpg"])

    class Encoder(DefaultTaskEncoder):  # type: ignore[misc,type-arg]
        cookers: ClassVar = [Cooker(cook)]
        decoder = None

        def encode_sample(self, one: Any) -> Any:
            return one

        def batch(self, samples: list[Any]) -> Any:
            return collate([sample(one.__key__, one.jpeg, decode) for one in samples])

    return Encoder()
