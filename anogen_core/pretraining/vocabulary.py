"""The words of inspection: templates of captions, and a tokenizer in which each of these words is one token."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

from anogen_core.procedural.scene import DEFECTS, MATERIALS

WORD_END = "</w>"
"""Marks the last piece of a word, as in CLIP."""
PROMPT_LENGTH = 32
"""Tokens of a prompt, with its start and end."""

TEMPLATES = (
    "{}",
    "a photo of a {}",
    "a photo of {}",
    "a photo of the {}",
    "the photo of a {}",
    "a photo of one {}",
    "a close-up photo of a {}",
    "a close-up photo of the {}",
    "a cropped photo of a {}",
    "a cropped photo of the {}",
    "a good photo of a {}",
    "a bright photo of the {}",
    "a dark photo of the {}",
    "a rendition of a {}",
)
"""The templates of textual inversion that make sense for inspection photos."""

DEFECT_WITH_MATERIAL = (
    "{material} with a {defect}",
    "a photo of {material} with a {defect}",
    "a {defect} on {material}",
)
NO_DEFECT = ("{material}", "a photo of {material}", "a photo of flawless {material}", "good {material}")
ANY_DEFECT = ("defect", "anomaly", "flaw", "damage")
"""General words: each stands for every defect now and then, so it is a fair start for an embedding to be learned."""

MORE_WORDS = """
surface texture part object background pattern grain edge border corner centre line spot area light dark bright
shiny matt rough smooth small large thin thick long short round deep clean dirty broken bent torn worn burnt rusty
wet dry grey black white red green blue brown yellow metal steel iron aluminium copper brass cast brushed wood
leather fabric carpet cloth weave tile ceramic glass plastic rubber paper cardboard concrete stone marble print
circuit board foil film food bread pill capsule bottle cable screw nut bolt gear ring tube pipe bearing magnet
zipper hazelnut toothbrush transistor grid wafer solder weld seam thread pin label lid cap scratch crack hole dent
stain cut contamination discolouration missing print fault fold chip corrosion rust blowhole break fray uneven
bubble pit pitting spall spalling wear burr blister bruise burn scuff smudge dust hair fibre fingerprint oil water
glue paint colour poke squeeze crease wrinkle misprint inclusion patch pore void peel delamination short open bridge
spur mouse bite scale scab warp
"""
"""Words of the field that captions may lack; each still gets a token of its own."""


def known_words() -> list[str]:
    """Return every word that must be one token, sorted."""
    texts = (*TEMPLATES, *DEFECT_WITH_MATERIAL, *NO_DEFECT, *ANY_DEFECT, MORE_WORDS, *MATERIALS, *DEFECTS)
    letters = "".join(character if character.isalpha() else " " for character in " ".join(texts).lower())
    return sorted(set(letters.split()))


def build_tokenizer(words: Sequence[str]) -> CLIPTokenizer:
    """Return a byte-level CLIP tokenizer that maps each of `words` to one token and any other text to pieces."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = _learn_merges(words)
    tokens = [*alphabet, *(letter + WORD_END for letter in alphabet), *dict.fromkeys(a + b for a, b in merges)]
    vocabulary = {token: index for index, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=PROMPT_LENGTH)


def _learn_merges(words: Sequence[str]) -> list[tuple[str, str]]:
    """Return byte-pair merges, most frequent first (Sennrich et al., 2016), until every word is whole.

    The trainer of the `tokenizers` library breaks ties by chance, which would give each run another vocabulary.
    """
    pieces = [[*word[:-1], word[-1] + WORD_END] for word in sorted(set(words))]
    merges: list[tuple[str, str]] = []
    while counts := Counter(pair for word in pieces for pair in pairwise(word)):
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        pieces = [_merge(word, best) for word in pieces]
    return merges


def _merge(word: list[str], pair: tuple[str, str]) -> list[str]:
    """Return the pieces of a word with each occurrence of `pair`, from the left, made one."""
    merged: list[str] = []
    for piece in word:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged
