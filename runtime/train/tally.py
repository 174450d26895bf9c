"""What a step taught: losses, tokens and draws of each pool, group and capability, added up over samples and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recipe_compiler.manifest.schema import Manifest
from runtime.capabilities import Capabilities
from runtime.sample import Sample


class Sums:
    """Per pool, and per capability: loss, tokens and draws of a step. Added up in float64, so that the sum of ranks is the
    sum of samples. A sample is of one pool, and counts for each capability that it has."""

    def __init__(self, pools: Sequence[str], capabilities: Capabilities | None, device: torch.device) -> None:
        self._number = {pool: number for number, pool in enumerate(pools)}
        self._capabilities = capabilities
        num = len(pools) + (0 if capabilities is None else len(capabilities.names))
        #: (pools and then capabilities, 3): loss, tokens, draws.
        self.table = torch.zeros(num, 3, dtype=torch.float64, device=device)

    def add(self, losses: Tensor, owners: Tensor, samples: Sequence[Sample]) -> None:
        """Adds the tokens of a micro-batch. Tombstones are draws without tokens."""
        device = self.table.device
        each = torch.zeros(len(samples), 3, dtype=torch.float64, device=device)
        each[:, 0].index_add_(0, owners, losses.detach().double())
        each[:, 1].index_add_(0, owners, torch.ones_like(losses, dtype=torch.float64))
        each[:, 2] = 1
        pools = torch.tensor([self._number[sample.pool] for sample in samples], dtype=torch.int64)
        self.table.index_add_(0, pools.to(device), each)
        if self._capabilities is not None:
            has = torch.from_numpy(self._capabilities.of(samples)).to(device)
            self.table[len(self._number) :] += has.T.double() @ each


class Tally:
    """What the sums of steps are told by. Capabilities are those of a table of scores, or without one the categories of
    pools."""

    def __init__(self, manifest: Manifest, capabilities: Capabilities | None) -> None:
        self.pools = [pool.name for pool in manifest.pools]
        self.capabilities = capabilities
        #: What pools are of, one name for each.
        self._kinds = {"group": [pool.group or "(no group)" for pool in manifest.pools], "pool": self.pools}
        if capabilities is None:
            self._kinds["capability"] = [pool.category or "(no category)" for pool in manifest.pools]

    def sums(self, device: torch.device) -> Sums:
        """Those of a step, all zero."""
        return Sums(self.pools, self.capabilities, device)

    def told(self, table: list[list[float]]) -> dict[str, Any]:
        """A table of `Sums`, of all ranks, as what is written of a step. What has no draw is left out."""
        of_pools, of_capabilities = table[: len(self.pools)], table[len(self.pools) :]
        loss, tokens, _ = (sum(column) for column in zip(*of_pools, strict=True))
        found: dict[str, Any] = {"loss": _mean([loss, tokens]), "tokens": int(tokens)}
        for kind, names in self._kinds.items():
            sums: dict[str, list[float]] = {}
            for name, row in zip(names, of_pools, strict=True):
                sums[name] = [one + more for one, more in zip(sums.get(name, [0.0] * 3), row, strict=True)]
            found[kind] = {name: _mean(row) for name, row in sums.items() if row[2]}
        found["draws"] = _draws(self.pools, of_pools)
        if self.capabilities is not None:
            rows = dict(zip(self.capabilities.names, of_capabilities, strict=True))
            found["capability"] = {name: _mean(row) for name, row in rows.items() if row[2]}
            found["capability_draws"] = _draws(self.capabilities.names, of_capabilities)
        return found


def _draws(names: Sequence[str], table: list[list[float]]) -> dict[str, int]:
    return {name: int(row[2]) for name, row in zip(names, table, strict=True) if row[2]}


def _mean(row: list[float]) -> float | None:
    return row[0] / row[1] if row[1] else None
