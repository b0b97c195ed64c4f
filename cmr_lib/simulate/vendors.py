"""Three scanner makers and their habits: how series are split, named, numbered and stored. Invented, but typical."""

from dataclasses import dataclass

from cmr_lib.types import View


@dataclass(frozen=True)
class Vendor:
    """The dialect of one maker."""

    maker: str  # Manufacturer
    code: str
    models: tuple[str, str]  # at 1.5 T and at 3 T
    split: str  # `slice`: a series per slice; `stack`: a series per stack
    bits_stored: int
    signed: bool
    top: float  # stored value of bright blood, about
    slope: float  # RescaleSlope
    intercept: float
    apex_first: bool  # order in which the short-axis slices are taken
    temporal_position: bool  # writes TemporalPositionIdentifier
    cine_names: dict[View, tuple[str, ...]]
    late_names: tuple[str, ...]


VENDORS: tuple[Vendor, ...] = (
    Vendor(
        maker="SIEMENS",
        code="SIEMENS",
        models=("Avanto", "Skyra"),
        split="slice",
        bits_stored=12,
        signed=False,
        top=420.0,
        slope=1.0,
        intercept=0.0,
        apex_first=False,
        temporal_position=False,
        cine_names={
            View.SAX: ("cine_trufi_retro_sax", "tf2d12_retro_iPAT_sa", "cine_trufi_retro"),
            View.LAX_4CH: ("cine_trufi_retro_4ch", "tf2d12_retro_iPAT_4ch"),
            View.LAX_2CH: ("cine_trufi_retro_2ch", "tf2d12_retro_iPAT_2ch"),
        },
        late_names=("de_high_res_sax_mag", "tfl_de_sa", "de_tfl_psir_sa_mag"),
    ),
    Vendor(
        maker="GE MEDICAL SYSTEMS",
        code="GE",
        models=("SIGNA EXCITE", "DISCOVERY MR750w"),
        split="stack",
        bits_stored=16,
        signed=True,
        top=1500.0,
        slope=1.0,
        intercept=0.0,
        apex_first=True,
        temporal_position=False,
        cine_names={
            View.SAX: ("SAX FIESTA", "FIESTA CINE SA", "Cine FIESTA SAX"),
            View.LAX_4CH: ("FIESTA 4CH", "4CH FIESTA CINE"),
            View.LAX_2CH: ("FIESTA 2CH", "2CH FIESTA CINE"),
        },
        late_names=("2DDel Enh SAX", "MDE SA", "SAX MDE"),
    ),
    Vendor(
        maker="Philips Medical Systems",
        code="PHILIPS",
        models=("Ingenia", "Achieva"),
        split="stack",
        bits_stored=12,
        signed=False,
        top=1100.0,
        slope=2.4,
        intercept=0.0,
        apex_first=False,
        temporal_position=True,
        cine_names={
            View.SAX: ("sBTFE_BH_SA", "BTFE_BH_SA", "BTFE_SA_MS"),
            View.LAX_4CH: ("sBTFE_BH_4CH", "BTFE_BH_4CH"),
            View.LAX_2CH: ("sBTFE_BH_2CH", "BTFE_BH_2CH"),
        },
        late_names=("LGE_SA_BH", "PSIR_TFE_SA", "IR_TFE_LGE SA"),
    ),
)
