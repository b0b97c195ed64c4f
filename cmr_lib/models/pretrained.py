"""Weights in and out: a folder of config.json, model.safetensors, tokenizer.json and SHA256SUMS.

safetensors holds no code and, unlike its name might suggest, no checksum of its content: the manifest does.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from cmr_lib import project
from cmr_lib.models.cmrformer import CMRformer, CMRformerConfig
from cmr_lib.models.weights import WeightsError, load_weights

FORMAT = "cmrformer-1"
FILES = ("config.json", "model.safetensors", "tokenizer.json")


def save_pretrained(model: CMRformer, tokenizer: PreTrainedTokenizerBase, folder: Path | str) -> None:
    """Write the folder; the same weights give the same bytes. Raises WeightsError for weights that are not finite."""
    folder = Path(folder)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(model.state_dict().items())}
    for name, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise WeightsError(f"{name} holds values that are not finite: the weights were not saved.")
    config = {"format": FORMAT, "model": model.config.to_dict(), "tokenizer": _special_tokens(tokenizer)}
    # Not project.write_json: a layer norm's 1e-12 must not be rounded.
    project.write_text(folder / "config.json", json.dumps(config, indent=1, sort_keys=True) + "\n")
    project.write_bytes(folder / "model.safetensors", save(state, metadata={"format": "pt"}))
    project.write_text(folder / "tokenizer.json", _tokenizer_json(tokenizer))
    project.write_manifest(folder)


def from_pretrained(folder: Path | str) -> tuple[CMRformer, PreTrainedTokenizerFast]:
    """Model (on the CPU, in evaluation mode) and tokenizer of a folder, after checking every checksum.

    Raises:
        FileNotFoundError: the folder or one of its files is absent.
        WeightsError: a file differs from SHA256SUMS, or the weights do not fit the config.
    """
    folder = Path(folder)
    for name in (*FILES, "SHA256SUMS"):
        project.require(folder / name, "save_pretrained (stage pretrain)")
    if wrong := project.check_manifest(folder):
        raise WeightsError(f"{folder}: {', '.join(wrong)} differ from SHA256SUMS; fetch the folder again.")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("format") != FORMAT:
        raise WeightsError(f"{folder / 'config.json'} has format {config.get('format')!r}, {FORMAT!r} is wanted.")
    model = CMRformer(CMRformerConfig.from_dict(config["model"]))
    load_weights(model, load_file(folder / "model.safetensors"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **config["tokenizer"])
    return model.eval(), tokenizer


def _special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """What PreTrainedTokenizerFast needs beside tokenizer.json."""
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    present = {name: str(getattr(tokenizer, name)) for name in names if getattr(tokenizer, name, None) is not None}
    return present | {"model_input_names": ["input_ids", "attention_mask"]}


def _tokenizer_json(tokenizer: PreTrainedTokenizerBase) -> str:
    """tokenizer.json without the padding and truncation that the last call may have left in it."""
    copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copy.no_padding()
    copy.no_truncation()
    return copy.to_str(pretty=True) + "\n"
