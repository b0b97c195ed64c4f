"""CMR-CLIP's released weights as a folder of ours: `python -m tools.convert FILE TEXT OUT --sha256 …`.

FILE is the peer's PyTorch file (layout of its commit 4dd42e8), read as plain arrays: nothing in it is run. TEXT is a
transformers folder with the config and the tokenizer of its report encoder (Bio_ClinicalBERT). OUT can be named in
`pretrain.init` and read by `models.pretrained.from_pretrained`. Every array is accounted for, or the tool stops.
"""

import argparse
import sys
from pathlib import Path

from transformers import AutoConfig, AutoTokenizer

from cmr_lib.models import convert, pretrained, text
from cmr_lib.models.weights import read_pickle


def main(arguments: list[str] | None = None) -> int:
    """Command line; one sentence and exit 1 when the file, its hash or the folder is not what it should be."""
    parser = argparse.ArgumentParser(prog="python -m tools.convert", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="the PyTorch file of CMR-CLIP's weights")
    parser.add_argument("text", help="local transformers folder: config.json and tokenizer of the report encoder")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--sha256", help="what the file must hash to")
    parser.add_argument("--heads", type=int, default=12, help="attention heads of the image encoder")
    given = parser.parse_args(arguments)
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        weights = read_pickle(given.file, given.sha256)
        body = text.plain_config(AutoConfig.from_pretrained(given.text, **local))
        model = convert.cmr_clip(weights, given.heads, body)
        pretrained.save_pretrained(model, AutoTokenizer.from_pretrained(given.text, **local), given.out)
    except (OSError, ValueError) as error:
        print(f"tools.convert: {error}", file=sys.stderr)
        return 1
    print(f"{given.out}: {len(weights)} arrays of {given.file.name}, every one placed or known to be unused.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
