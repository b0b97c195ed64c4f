"""Weights of others into our encoders: Frozen in Time, CMR-CLIP, and image models (ViT) that `transformers` knows.

Only layouts of names are known here, no code of theirs is run. Every array is accounted for: it is used, or named in
what is left out, or the conversion is refused. The published models read three equal channels; the sum of their first
layer's weights over the channels reads one, exactly.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, BertConfig

from cmr_lib.models import text
from cmr_lib.models.cmrformer import CMRformer, CMRformerConfig
from cmr_lib.models.video import VideoConfig, VideoEncoder
from cmr_lib.models.weights import Weights, WeightsError, load_weights, read_pickle
from cmr_lib.models.zoo import BODIES, TorchvisionEncoder

PEER_TEMPERATURE = 0.05
PEER_NORM_EPS = 1e-6
# Names of a space-time block (Frozen in Time, CMR-CLIP at commit 4dd42e8) → ours.
BLOCK = {
    "norm1": "norm_space",
    "norm2": "norm_mlp",
    "norm3": "norm_time",
    "attn": "space",
    "timeattn": "time",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.2",
}
VIT_BLOCK = {  # as transformers 5 names a ViT's arrays, whatever the file named them
    "layernorm_before": "norm_space",
    "layernorm_after": "norm_mlp",
    "attention.o_proj": "space.proj",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.2",
}


def space_time(weights: Weights, heads: int, image_px: int | None = None) -> tuple[VideoConfig, Weights]:
    """Config and state of our `VideoEncoder` from a SpaceTimeTransformer's; it gives the same vectors.

    The read-out token carries its own place embedding; view, sequence and phase, which the published model is not
    told, are zero. Raises WeightsError for an array that has no place here.
    """
    weights = dict(weights)
    kernel, places = weights.pop("patch_embed.proj.weight"), weights.pop("pos_embed")
    order = weights.pop("temporal_embed")
    patch, side = kernel.shape[-1], round((places.shape[1] - 1) ** 0.5)
    depth = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    config = VideoConfig(
        image_px=image_px or side * patch,
        patch_px=patch,
        width=kernel.shape[0],
        depth=depth,
        heads=heads,
        frame_places=order.shape[1],
        norm_eps=PEER_NORM_EPS,
    )
    state = {
        "stem.weight": kernel.sum(1, keepdim=True),
        "stem.bias": weights.pop("patch_embed.proj.bias"),
        "cls": weights.pop("cls_token") + places[:, :1],
        "place": places[:, 1:].unsqueeze(1),
        "frame.order": order[0],
    }
    for name, value in weights.items():
        state[_block_name(name, BLOCK)] = value
    return config, _with_silent_embeddings(config, state)


def _block_name(name: str, table: dict[str, str]) -> str:
    """Our name of a block's or the last norm's array. Raises WeightsError for an unknown one."""
    if name in ("norm.weight", "norm.bias"):
        return name
    found = re.fullmatch(r"blocks\.(\d+)\.(.+)\.(weight|bias)", name)
    inner = found and found[2]
    for theirs, ours in table.items():
        if inner and (inner == theirs or inner.startswith(f"{theirs}.")):
            return f"blocks.{found[1]}.{ours}{inner.removeprefix(theirs)}.{found[3]}"
    raise WeightsError(f"{name} has no place in the space-time encoder: it is another architecture.")


def _with_silent_embeddings(config: VideoConfig, state: Weights) -> Weights:
    """The state with zeros for what the published models are not told of a frame."""
    with torch.device("meta"):
        wanted = VideoEncoder(config).state_dict()
    silent = {name: torch.zeros(wanted[name].shape) for name in wanted if name.startswith("frame.")}
    return {name: value.contiguous().float() for name, value in (silent | state).items()}


def cmr_clip(weights: Weights, heads: int = 12, text_config: dict[str, Any] | None = None) -> CMRformer:
    """CMR-CLIP (layout of its commit 4dd42e8) as one of our models, with equal unit vectors for both towers.

    `text_config` describes its text encoder (default: BERT-base, as Bio_ClinicalBERT is). BERT's pooler is left out:
    neither model uses it. Raises WeightsError when an array is missing or has no place.
    """
    parts: dict[str, Weights] = {"video_model": {}, "text_model": {}, "vid_proj": {}, "txt_proj": {}}
    for name, value in weights.items():
        part, _, rest = name.partition(".")
        if part not in parts:
            raise WeightsError(f"{name} has no place in CMR-CLIP's layout ({', '.join(parts)}).")
        parts[part][rest] = value
    if empty := [part for part, found in parts.items() if not found]:
        raise WeightsError(f"The file lacks CMR-CLIP's {', '.join(empty)}.")
    video, state = space_time(parts["video_model"], heads)
    config = CMRformerConfig(
        video=video,
        text=text_config or text.plain_config(BertConfig(vocab_size=28996)),
        embed_dim=len(parts["vid_proj"]["1.weight"]),
        temperature=PEER_TEMPERATURE,
        projection="relu",
    )
    unused = ("pooler.", "embeddings.position_ids")
    ours = {f"video.{name}": value for name, value in state.items()}
    ours |= {f"text.body.{n}": v.contiguous() for n, v in parts["text_model"].items() if not n.startswith(unused)}
    for theirs, tower in (("vid_proj", "video"), ("txt_proj", "text")):
        ours |= {f"{tower}_projection.{name}": value.contiguous() for name, value in parts[theirs].items()}
    model = CMRformer(config)
    load_weights(model, ours | {"log_scale": model.log_scale.detach()})
    return model.eval()


def vit(name: str, local_files_only: bool = True) -> VideoEncoder:
    """An image model (ViT) by transformers name or local folder as our encoder; time attention starts silent.

    For one frame its vector is the image model's read-out token after the last norm (for three equal channels). Raises
    OSError when the name is not to be had, WeightsError when it is no ViT of this layout.
    """
    return from_vit(_vit_body(name, local_files_only))


def _vit_body(name: str, local_files_only: bool) -> torch.nn.Module:
    common = {"trust_remote_code": False, "local_files_only": local_files_only}
    config = AutoConfig.from_pretrained(name, **common)
    if config.model_type != "vit":
        raise WeightsError(f"{name} is a {config.model_type!r}, a vit is wanted.")
    return AutoModel.from_pretrained(name, use_safetensors=True, **common)


def from_vit(body: torch.nn.Module) -> VideoEncoder:
    """The same from a loaded `transformers.ViTModel`."""
    config: Any = body.config
    ours = VideoConfig(
        image_px=config.image_size,
        patch_px=config.patch_size,
        width=config.hidden_size,
        depth=config.num_hidden_layers,
        heads=config.num_attention_heads,
        norm_eps=config.layer_norm_eps,
    )
    model = VideoEncoder(ours)
    state = {name: value for name, value in model.state_dict().items() if ".time." in name or "norm_time" in name}
    for name, value in _vit_state(body.state_dict()).items():
        state[name] = value
    load_weights(model, _with_silent_embeddings(ours, state))
    return model.eval()


def into_tower(model: CMRformer, weights: str, local_files_only: bool = True) -> None:
    """Put others' weights into the image tower of a new model, in place (`video.weights`).

    The divided space-time tower and `frames` take a ViT by transformers name or local folder; what a ViT does not have
    (time, view, phase) keeps its start. A torchvision body takes the file of its weights (.pth, .safetensors).

    Raises:
        OSError: the name or file is not to be had.
        WeightsError: the weights are of another architecture or size; both shapes are named.
    """
    if isinstance(model.video, TorchvisionEncoder):
        load_weights(model.video, _body_state(model.video, Path(weights)))
        return
    body = _vit_body(weights, local_files_only)
    if model.config.video.stem != "patch":
        raise WeightsError(f"{weights} has linear patches: set video.stem to patch.")
    own = {name: value for name, value in model.video.state_dict().items() if ".time." in name or "norm_time" in name}
    own |= {name: value for name, value in model.video.state_dict().items() if name.startswith(("frame.", "pool."))}
    load_weights(model.video, own | _vit_state(body.state_dict()))
    eps = float(body.config.layer_norm_eps)
    for layer in model.video.modules():
        if isinstance(layer, torch.nn.LayerNorm):
            layer.eps = eps
    model.video.config = replace(model.config.video, norm_eps=eps)
    model.config = replace(model.config, video=model.video.config)


def _body_state(tower: TorchvisionEncoder, path: Path) -> Weights:
    """A torchvision file's arrays under our names, without its classifier."""
    if not path.is_file():
        raise FileNotFoundError(f"video.weights: {path.name} is not there; {tower.config.name} takes a local file.")
    found = load_file(path) if path.suffix == ".safetensors" else read_pickle(path)
    head = f"{BODIES[tower.config.name].head}."
    return {f"body.{name}": value for name, value in found.items() if not name.startswith(head)}


def _vit_state(weights: Weights) -> Weights:
    """Our names for a ViT's arrays: its query, key and value are one of ours; pooler and mask token are left out."""
    unused = ("pooler.", "embeddings.mask_token")
    weights = {name: value for name, value in weights.items() if not name.startswith(unused)}
    places, kernel = weights.pop("embeddings.position_embeddings"), "embeddings.patch_embeddings.projection"
    state = {
        "stem.weight": weights.pop(f"{kernel}.weight").sum(1, keepdim=True),
        "stem.bias": weights.pop(f"{kernel}.bias"),
        "cls": weights.pop("embeddings.cls_token") + places[:, :1],
        "place": places[:, 1:].unsqueeze(1),
    }
    for name in [name for name in weights if ".q_proj." in name]:
        joined = torch.cat([weights.pop(name.replace(".q_proj.", f".{part}_proj.")) for part in "qkv"])
        state[name.replace("layers.", "blocks.").replace("attention.q_proj", "space.qkv")] = joined
    for name, value in weights.items():
        theirs = name.replace("layers.", "blocks.").replace("layernorm.", "norm.")
        state[_block_name(theirs, VIT_BLOCK)] = value
    return state
