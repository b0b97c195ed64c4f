"""One model a stage, strict, with a unit and a meaning for every key that needs them.

A file in params/<profile>/<stage>.yaml, the `parameters` cell of the stage's notebook and the model here hold the
same keys; a test compares them.
"""

from cmr_lib.params.hospital import Simulate
from cmr_lib.params.judging import Attention, Classification, Results, Retrieval, Umap
from cmr_lib.params.preprocess import Preprocess
from cmr_lib.params.pretrain import Pretrain
from cmr_lib.params.values import Strict

STAGES: dict[str, type[Strict]] = {
    "simulate": Simulate,
    "preprocess": Preprocess,
    "pretrain": Pretrain,
    "retrieval": Retrieval,
    "classification": Classification,
    "umap": Umap,
    "attention": Attention,
    "results": Results,
}
