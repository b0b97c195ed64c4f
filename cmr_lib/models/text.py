"""The text tower: a WordPiece tokenizer and a transformer encoder of the report, averaged over its tokens.

Either a small encoder made here from its sizes, or any encoder that `transformers` knows, by name or local folder.
Nothing is ever executed that came with a model (`trust_remote_code=False`). Weights are read as safetensors; where
there is only a pickle (Bio_ClinicalBERT), its arrays are read without running it, and each is accounted for.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    DistilBertConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import cached_file

from cmr_lib import params
from cmr_lib.models.vocabulary import SPECIAL, learn
from cmr_lib.models.weights import WeightsError, read_pickle

CPU_GROUP = 16
TAKE_PAIRS = ("bert", "distilbert")  # kinds of encoder whose fused attention is handed a mask of pairs as it is
PICKLE = "pytorch_model.bin"
HEADS = ("cls.", "classifier.", "qa_outputs.", "vocab_", "lm_head.", "pooler.")  # of other tasks, left out
_MAY_LACK = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
_NOT_KEPT = ("transformers_version", "architectures", "auto_map", "dtype")


# --- words to numbers -------------------------------------------------------------------------------------------
def train_tokenizer(
    texts: Iterable[str], vocabulary: int, max_tokens: int = 512, patients: Sequence[str] | None = None, least: int = 1
) -> PreTrainedTokenizerFast:
    """Learn a vocabulary of at most `vocabulary` tokens (`models.vocabulary.learn`) for texts of up to `max_tokens`.

    Raises ValueError when single characters alone are more than `vocabulary`.
    """
    return PreTrainedTokenizerFast(
        tokenizer_object=learn(texts, vocabulary, patients, least),
        model_max_length=max_tokens,
        model_input_names=["input_ids", "attention_mask"],
        **SPECIAL,
    )


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Token numbers of each text, cut after `max_tokens`, not padded."""
    return tokenizer(list(texts), truncation=True, max_length=max_tokens, add_special_tokens=True)["input_ids"]


def pad(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Int64[Tensor, "b tokens"], Bool[Tensor, "b tokens"]]:
    """Rows of unequal length as one array, and where it holds a token (True) rather than padding."""
    longest = max(len(row) for row in rows)
    ids = torch.tensor([[*row, *[pad_id] * (longest - len(row))] for row in rows], dtype=torch.int64)
    lengths = torch.tensor([len(row) for row in rows])
    return ids, torch.arange(longest) < lengths[:, None]


# --- numbers to a vector ----------------------------------------------------------------------------------------
def small_config(settings: params.TextEncoder, vocabulary: int) -> dict[str, Any]:
    """A transformers config (DistilBERT's architecture, Sanh et al. 2019) of the wanted size, as a mapping."""
    config = DistilBertConfig(
        vocab_size=vocabulary,
        dim=settings.width,
        n_layers=settings.depth,
        n_heads=settings.heads,
        hidden_dim=4 * settings.width,
        max_position_embeddings=settings.max_tokens,
        dropout=settings.dropout,
        attention_dropout=0.0,  # of the outputs only: dropped attention weights cost a third of this tower on a CPU
        pad_token_id=0,
    )
    return plain_config(config)


def plain_config(config: Any) -> dict[str, Any]:
    """What a transformers config changes from its defaults, without host facts: enough to build it again."""
    kept = config.to_diff_dict() | {"model_type": config.model_type}
    return {name: kept[name] for name in sorted(kept) if not name.startswith("_") and name not in _NOT_KEPT}


def offline() -> bool:
    """Whether nothing may be fetched (HF_HUB_OFFLINE)."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def load_pretrained(name: str, max_tokens: int) -> tuple[PreTrainedTokenizerBase, nn.Module]:
    """Tokenizer and encoder by transformers name or local folder (with HF_HUB_OFFLINE=1, local files only).

    Raises OSError when the name is not to be had, WeightsError when it holds no weights of an encoder, ValueError when
    it cannot read `max_tokens`.
    """
    common = {"trust_remote_code": False, "local_files_only": offline()}
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **common)
        body = _body(name, common)
    except OSError as error:
        hint = " Offline, as always here: HF_HUB_OFFLINE=0 fetches it once." if offline() else ""
        raise OSError(f"text.pretrained: {name} could not be loaded: {error}{hint}") from error
    longest = getattr(body.config, "max_position_embeddings", max_tokens)
    if longest < max_tokens:
        raise ValueError(f"text.max_tokens is {max_tokens}, but {name} reads at most {longest}.")
    return tokenizer, body


def _body(name: str, common: dict[str, Any]) -> nn.Module:
    """The encoder from safetensors, or from the arrays of a pickle where there is nothing else."""
    try:
        return AutoModel.from_pretrained(name, use_safetensors=True, **common)
    except OSError:
        found = cached_file(name, PICKLE, local_files_only=common["local_files_only"], **_MAY_LACK)
        if found is None:
            raise
    kind = type(AutoModel.from_config(AutoConfig.from_pretrained(name, **common)))
    body, said = kind.from_pretrained(
        None, config=AutoConfig.from_pretrained(name, **common), state_dict=read_pickle(found), output_loading_info=True
    )
    missing = [key for key in said["missing_keys"] if not key.startswith("pooler.")]
    strange = [key for key in said["unexpected_keys"] if not key.startswith(HEADS)]
    for names, words in ((missing, "lacks"), (strange, "also holds")):
        if names:
            raise WeightsError(
                f"{name}: its {PICKLE} {words} {len(names)} arrays of a {kind.__name__} ({names[0]}, …)."
            )
    return body


def mask_for(body: nn.Module, mask: Bool[Tensor, "b tokens"] | None) -> Bool[Tensor, "b ..."] | None:
    """The mask as the encoder takes it without looking into it, where it does so: on a GPU a look is a wait.

    transformers asks a mask of two axes whether anything is padded at all; one for every pair of tokens it hands on.
    """
    told = body.config.model_type in TAKE_PAIRS and body.config._attn_implementation == "sdpa"
    return mask if mask is None or mask.device.type == "cpu" or not told else of_pairs(mask)


def of_pairs(mask: Bool[Tensor, "b tokens"]) -> Bool[Tensor, "b 1 tokens tokens"]:
    """For every pair of tokens, whether the second is there."""
    return mask[:, None, None].expand(-1, 1, mask.shape[1], -1)


class TextEncoder(nn.Module):
    """Token numbers of a report → one vector: the mean of the encoder's outputs over the tokens that exist.

    With `pool: cls`, the output of the first token instead, as the published model reads DistilBERT.
    """

    def __init__(
        self, config: dict[str, Any], body: nn.Module | None = None, pool: Literal["mean", "cls"] = "mean"
    ) -> None:
        super().__init__()
        self.pool = pool
        self.body = AutoModel.from_config(AutoConfig.for_model(**config)) if body is None else body
        if hasattr(self.body, "pooler"):
            self.body.pooler = None  # BERT's head on its first token: we average instead
        self.width = int(self.body.config.hidden_size)

    def forward(
        self, input_ids: Int64[Tensor, "b tokens"], attention_mask: Bool[Tensor, "b tokens"] | None
    ) -> Float[Tensor, "b d"]:
        """Encode reports, padded on the right (None: not at all); padding changes nothing.

        On a CPU, reports of like length go through together, each group cut to its longest: reports differ in length
        by a factor of two, and padding costs as much as words. A GPU takes them as they are: to ask it for a length
        would be to wait for it.
        """
        if attention_mask is None or input_ids.device.type != "cpu":
            return self._mean(input_ids, attention_mask)
        lengths = attention_mask.sum(1)
        order = lengths.argsort(stable=True)
        parts = []
        for rows in order.split(CPU_GROUP):
            longest = int(lengths[rows[-1]])
            parts.append(self._mean(input_ids[rows, :longest], attention_mask[rows, :longest]))
        return torch.cat(parts)[order.argsort()]

    def _mean(
        self, input_ids: Int64[Tensor, "b tokens"], attention_mask: Bool[Tensor, "b tokens"] | None
    ) -> Float[Tensor, "b d"]:
        told = mask_for(self.body, attention_mask)
        hidden = self.body(input_ids=input_ids, attention_mask=told).last_hidden_state
        if self.pool == "cls":
            return hidden[:, 0]
        if attention_mask is None:
            return hidden.mean(1)
        weight = attention_mask.to(hidden.dtype)
        return torch.einsum("btd,bt->bd", hidden, weight) / weight.sum(1, keepdim=True).clamp(min=1)
