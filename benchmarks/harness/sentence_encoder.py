"""A small BERT in plain torch, with the weights of a folder of sentence-transformers, such as all-MiniLM-L6-v2.

The folder holds config.json, tokenizer.json and model.safetensors. Texts are divided into word pieces as BERT's
uncased tokenizer does; their vector is the mean over the pieces. Source: Devlin et al. 2019, arXiv 1810.04805; Wang et
al. 2020, arXiv 2002.10957 (MiniLM).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

WORD = re.compile(r"\w+|[^\w\s]")
LONGEST = 32  # word pieces of a text, with the two at its ends


class WordPieces:
    """BERT's uncased tokenizer: the longest known piece first."""

    def __init__(self, folder: Path) -> None:
        tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        self.ids: dict[str, int] = tokenizer["model"]["vocab"]

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Ids (n, length) of texts, 0 behind their ends."""
        rows = [torch.tensor([self.ids["[CLS]"], *self._of(text)[: LONGEST - 2], self.ids["[SEP]"]]) for text in texts]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True)

    def _of(self, text: str) -> list[int]:
        plain = unicodedata.normalize("NFD", text.lower())
        plain = "".join(character for character in plain if unicodedata.category(character) != "Mn")
        return [piece for word in WORD.findall(plain.replace("_", " _ ")) for piece in self._pieces(word)]

    def _pieces(self, word: str) -> list[int]:
        found, begin = [], 0
        while begin < len(word):
            mark = "##" if begin else ""
            ends = (end for end in range(len(word), begin, -1) if mark + word[begin:end] in self.ids)
            end = next(ends, None)
            if end is None:
                return [self.ids["[UNK]"]]
            found.append(self.ids[mark + word[begin:end]])
            begin = end
        return found


class Layer(nn.Module):
    """Attention and a network of two layers, each followed by a normalisation."""

    def __init__(self, width: int, hidden: int, heads: int, eps: float, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.first_norm, self.second_norm = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """x: (b, n, d). real: (b, n) whether there is a piece."""
        b, n, d = x.shape
        query, key, value = (
            part(x).view(b, n, self.heads, d // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        rate = self.dropout.p if self.training else 0.0
        found = functional.scaled_dot_product_attention(query, key, value, real[:, None, None], rate)
        x = self.first_norm(x + self.dropout(self.out(found.transpose(1, 2).reshape(b, n, d))))
        return self.second_norm(x + self.dropout(self.down(functional.gelu(self.up(x)))))


class SentenceEncoder(nn.Module):
    """Ids (b, n) -> vectors (b, d). The embeddings of pieces and positions are frozen."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.width, eps, dropout = config["hidden_size"], config["layer_norm_eps"], config["hidden_dropout_prob"]
        self.pieces = nn.Embedding(config["vocab_size"], self.width)
        self.positions = nn.Embedding(config["max_position_embeddings"], self.width)
        self.norm, self.dropout = nn.LayerNorm(self.width, eps), nn.Dropout(dropout)
        sizes = config["intermediate_size"], config["num_attention_heads"]
        self.layers = nn.ModuleList(Layer(self.width, *sizes, eps, dropout) for _ in range(config["num_hidden_layers"]))
        self._load(load_file(folder / "model.safetensors"))
        self.pieces.requires_grad_(False)
        self.positions.requires_grad_(False)

    def forward(self, ids: Tensor) -> Tensor:
        """The mean over the pieces of each text."""
        real = ids > 0
        x = self.dropout(self.norm(self.pieces(ids) + self.positions.weight[: ids.shape[1]]))
        for layer in self.layers:
            x = layer(x, real)
        weights = real[..., None].to(x.dtype)
        return (x * weights).sum(1) / weights.sum(1)

    def _load(self, stored: dict[str, Tensor]) -> None:
        embeddings = "embeddings."
        own = {
            "pieces.weight": stored[embeddings + "word_embeddings.weight"],
            "positions.weight": stored[embeddings + "position_embeddings.weight"]
            + stored[embeddings + "token_type_embeddings.weight"][0],
        }
        names = {"norm": embeddings + "LayerNorm"}
        for number in range(len(self.layers)):
            theirs = f"encoder.layer.{number}."
            parts = {
                "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
                "out": "attention.output.dense", "first_norm": "attention.output.LayerNorm",
                "up": "intermediate.dense", "down": "output.dense", "second_norm": "output.LayerNorm",
            }  # fmt: skip
            names |= {f"layers.{number}.{name}": theirs + place for name, place in parts.items()}
        own |= {f"{n}.{kind}": stored[f"{place}.{kind}"] for n, place in names.items() for kind in ("weight", "bias")}
        self.load_state_dict(own)
