"""Captions of crops, written as tokens for a whole batch at once.

A caption is a template whose places for the material and the defect are filled. The empty caption always stands for a
flawless surface, so that classifier-free guidance leads from the flawless towards the defect. Where a defect is seen,
three captions in four name it alone; each word for what it looks like is said three times out of four, in any order.
"""

from collections.abc import Sequence
from typing import Final, final

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import CLIPTokenizer

from anogen_core.pretraining.crops import CORPUS_MATERIALS, CropBatch
from anogen_core.pretraining.looks import LOOKS
from anogen_core.pretraining.vocabulary import (
    ANY_DEFECT,
    DEFECT_WITH_MATERIAL,
    NO_DEFECT,
    PROMPT_LENGTH,
    TEMPLATES,
)
from anogen_core.procedural.scene import DEFECTS

STAND_IN: Final = 0
"""Token in whose place the vector of an exemplar is put: a byte that no caption holds."""
_ABSENT: Final = -1
_MATERIAL: Final = -2
_DEFECT: Final = -3
_LONGEST: Final = 6
"""Tokens that a place is filled with at most: four looks and two words of a defect."""
_LONGEST_TEMPLATE: Final = 8
"""Tokens."""
_NAMED_WITH_MATERIAL: Final = 0.25
_GENERAL_WORD: Final = 0.3
_LOOK_SAID: Final = 0.75
_SILENT: Final = 0.6
_DROPPED: Final = 0.1


@final
class CaptionWriter:
    """Writes captions in the tokens of a tokenizer."""

    def __init__(self, tokenizer: CLIPTokenizer, device: torch.device) -> None:
        self._device = device
        self._begin, self._end = tokenizer.bos_token_id, tokenizer.eos_token_id
        self._pad = tokenizer.pad_token_id
        self._tokenizer = tokenizer
        self._materials = self._table(CORPUS_MATERIALS)
        self._defects = self._table(DEFECTS)
        self._general = self._table(ANY_DEFECT)
        self._looks = self._table(LOOKS)[:, 0]
        self._alone, self._with_material = self._table(TEMPLATES), self._table(DEFECT_WITH_MATERIAL)
        self._flawless = self._table(NO_DEFECT)

    def write(
        self, crops: CropBatch, generator: torch.Generator, *, exemplar: Bool[Tensor, " B"]
    ) -> Int[Tensor, "B T"]:
        """Return the tokens of one caption for each crop.

        Args:
            crops: What is to be told.
            generator: Source of all choices, on the device of the crops.
            exemplar: Where the defect is not named: `STAND_IN` holds its place.
        """
        count = len(crops.defects)
        self._generator = generator
        seen = crops.defects >= 0
        template = torch.where(
            (self._random(count) < _NAMED_WITH_MATERIAL)[:, None],
            self._pick(self._with_material, count),
            self._pick(self._alone, count),
        )
        template = torch.where(seen[:, None], template, self._pick(self._flawless, count))
        # Words are left out where the material is told, so that no word leans on its neighbours.
        loose = (template == _MATERIAL).any(1)[:, None] & (self._random(*template.shape) < _DROPPED)
        spread = torch.full((*template.shape, _LONGEST), _ABSENT, device=self._device)
        spread[..., 0] = torch.where(loose & (template >= 0), _ABSENT, template)
        material = _widen(self._materials[crops.materials])[:, None]
        defect = self._describe(crops, exemplar)[:, None]
        spread = torch.where((template == _MATERIAL)[..., None], material, spread)
        spread = torch.where((template == _DEFECT)[..., None], defect, spread)
        silent = ~seen & (self._random(count) < _SILENT)
        return self._close(spread.flatten(1).masked_fill(silent[:, None], _ABSENT))

    def _describe(self, crops: CropBatch, exemplar: Bool[Tensor, " B"]) -> Int[Tensor, "B L"]:
        """Return what stands for the defect: some of its looks in any order and its name, or the stand-in."""
        count = len(crops.defects)
        said = (crops.looks >= 0) & (self._random(*crops.looks.shape) < _LOOK_SAID)
        looks = torch.where(said, self._looks[crops.looks.clamp_min(0)], _ABSENT)
        looks = looks.gather(1, self._random(*looks.shape).argsort(1))
        general = (self._random(count) < _GENERAL_WORD)[:, None]
        name = torch.where(general, self._pick(self._general, count, _LONGEST), _widen(self._defects[crops.defects]))
        told = torch.cat([looks, name[:, : _LONGEST - looks.shape[1]]], dim=1)
        stand_in = torch.full_like(told, _ABSENT)
        stand_in[:, 0] = STAND_IN
        return torch.where(exemplar[:, None], stand_in, told)

    def _close(self, tokens: Int[Tensor, "B N"]) -> Int[Tensor, "B T"]:
        """Return the tokens that are not absent, begun, ended and padded."""
        order = (tokens == _ABSENT).byte().argsort(dim=1, stable=True)
        tokens = tokens.gather(1, order)[:, : PROMPT_LENGTH - 2]
        missing = PROMPT_LENGTH - 2 - tokens.shape[1]
        tokens = torch.nn.functional.pad(tokens, (1, 1 + max(0, missing)), value=_ABSENT)
        tokens[:, 0] = self._begin
        length = (tokens != _ABSENT).sum(1, keepdim=True)
        tokens = tokens.masked_fill(tokens == _ABSENT, self._pad)
        return tokens.scatter(1, length, self._end)

    def _table(self, texts: Sequence[str]) -> Int[Tensor, "N L"]:
        """Return the tokens of texts, row by row, with marks for the places to fill."""
        rows = [[token for word in text.split() for token in self._tokens(word)] for text in texts]
        longest = max(map(len, rows))
        padded = [row + [_ABSENT] * (longest - len(row)) for row in rows]
        return torch.tensor(padded, device=self._device)

    def _tokens(self, word: str) -> list[int]:
        places = {"{material}": _MATERIAL, "{defect}": _DEFECT, "{}": _DEFECT}
        if word in places:
            return [places[word]]
        return list(self._tokenizer(word, add_special_tokens=False).input_ids)

    def _pick(self, table: Int[Tensor, "N L"], count: int, length: int = _LONGEST_TEMPLATE) -> Int[Tensor, "B L"]:
        """Return random rows of a table, one for each crop."""
        rows = torch.randint(len(table), (count,), generator=self._generator, device=self._device)
        return _widen(table[rows], length)

    def _random(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._generator, device=self._device)


def _widen(tokens: Int[Tensor, "B N"], length: int = _LONGEST) -> Int[Tensor, "B L"]:
    """Return the tokens with absent ones appended up to `length`, or cut to it."""
    return torch.nn.functional.pad(tokens, (0, length - tokens.shape[1]), value=_ABSENT)
