"""What params/ may hold (schema, a module a stage), how its files are read (files) and its values checked (checking).

The one package whose names are re-exported: everything else says `params.Pretrain`, `params.check`, `params.read_yaml`.
"""

from cmr_lib.params.checking import check, from_notebook
from cmr_lib.params.files import ParameterError, merge, override, read_yaml
from cmr_lib.params.hospital import Hospital, PhantomImage, Reader, Scanner, Simulate
from cmr_lib.params.judging import Attention, Classification, Probe, Results, Retrieval, Sweep, Umap
from cmr_lib.params.preprocess import Caps, ClipShape, Cohort, Identity, Preprocess, ReportColumns, SplitShares
from cmr_lib.params.pretrain import Augment, FramePlan, Launch, Optimiser, Pretrain, TextEncoder, VideoEncoder
from cmr_lib.params.schema import STAGES
from cmr_lib.params.values import PROFILES, PUBLIC_SOURCES

__all__ = [
    "PROFILES",
    "PUBLIC_SOURCES",
    "STAGES",
    "Attention",
    "Augment",
    "Caps",
    "Classification",
    "ClipShape",
    "Cohort",
    "FramePlan",
    "Hospital",
    "Identity",
    "Launch",
    "Optimiser",
    "ParameterError",
    "PhantomImage",
    "Preprocess",
    "Pretrain",
    "Probe",
    "Reader",
    "ReportColumns",
    "Results",
    "Retrieval",
    "Scanner",
    "Simulate",
    "SplitShares",
    "Sweep",
    "TextEncoder",
    "Umap",
    "VideoEncoder",
    "check",
    "from_notebook",
    "merge",
    "override",
    "read_yaml",
]
