"""Four scanner makers and their habits: how series are split, named, numbered and stored. Invented, but typical."""

from dataclasses import dataclass

from cmr_lib.simulate.identity import SECOND_SITE, SITES
from cmr_lib.types import View

Words = tuple[str, ...]
KINDS = ("cine", "lge", "psir", "localiser", "flow_magnitude", "flow_phase", "t1_map", "screenshot")  # of series


@dataclass(frozen=True)
class Vendor:
    """The dialect of one maker. `image_types` and `other_names` go by the kind of a series (KINDS)."""

    maker: str  # Manufacturer
    code: str
    models: tuple[str, str]  # at 1.5 T and at 3 T
    split: str  # `slice`: a series per slice; `stack`: a series per stack
    numbering: str  # of series, `plain`: 1, 2, 3 …; `hundreds`: 101, 201 …; `tens`: 10, 20 …
    bits_stored: int
    signed: bool
    top: float  # stored value of bright blood, about
    slope: float  # RescaleSlope
    intercept: float  # RescaleIntercept
    spacing_share: float  # pixel spacing, relative to that of the settings
    extra_phases: int  # images of a beat beyond those of the settings
    psir: bool  # sends late enhancement as pairs, magnitude and phase-sensitive
    apex_first: bool  # order in which the short-axis slices are taken
    temporal_position: bool  # writes TemporalPositionIdentifier
    heart_rate: bool  # writes HeartRate; else the rate hides in a comment
    private: tuple[tuple[int, str], ...]  # groups of private elements and who reserves a block there (PS3.5 7.8.1)
    path: str  # of a file in the archive: {name}, {number}, {instance}, {family}
    cine_names: dict[View, Words]  # the same place in each tuple is one habit
    late_names: Words
    psir_names: Words  # () where no pairs are sent
    other_names: dict[str, str]
    image_types: dict[str, Words]

    def series_number(self, index: int) -> int:
        """SeriesNumber of the series at place `index` (0, 1, …) of a study; never repeats."""
        return {"plain": index + 1, "hundreds": 100 * index + 101, "tens": 10 * index + 10}[self.numbering]


def _types(*usual: str, **other: Words) -> dict[str, Words]:
    """ImageType of every kind of series: `usual`, or what stands under the kind's name."""
    return dict.fromkeys(KINDS, ("ORIGINAL", "PRIMARY", *usual)) | {"screenshot": ("DERIVED", "SECONDARY")} | other


SIEMENS = Vendor(
    maker="SIEMENS",
    code="SIEMENS",
    models=("Avanto", "Skyra"),
    split="slice",
    numbering="plain",
    bits_stored=12,
    signed=False,
    top=420.0,
    slope=1.0,
    intercept=0.0,
    spacing_share=1.0,
    extra_phases=0,
    psir=True,
    apex_first=False,
    temporal_position=False,
    heart_rate=False,
    private=((0x0029, "SIEMENS CSA HEADER"), (0x0051, "SIEMENS MR HEADER")),
    path="{name}_{number:04d}/{family}.MR.HEART.{number:04d}.{instance:04d}.IMA",  # a file's name names the patient
    cine_names={
        View.SAX: ("cine_trufi_retro_sax", "tf2d12_retro_iPAT_sa", "cine_trufi_retro"),
        View.LAX_4CH: ("cine_trufi_retro_4ch", "tf2d12_retro_iPAT_4ch", "cine_trufi_retro_4ch"),
        View.LAX_2CH: ("cine_trufi_retro_2ch", "tf2d12_retro_iPAT_2ch", "cine_trufi_retro_2ch"),
        View.LAX_3CH: ("cine_trufi_retro_3ch", "tf2d12_retro_iPAT_3ch", "cine_trufi_retro_lvot"),
    },
    late_names=("de_high_res_sax_mag", "tfl_de_sa_MAG", "de_tfl_psir_sa_MAG"),
    psir_names=("de_high_res_sax_PSIR", "tfl_de_sa_PSIR", "de_tfl_psir_sa_PSIR"),
    other_names={
        "localiser": "localizer",
        "flow_magnitude": "flow_250_tp_AoV_bh",
        "flow_phase": "flow_250_tp_AoV_bh_P",
        "t1_map": "ShMOLLI_192i_SAX_T1MAP",
        "screenshot": "EVAL",
    },
    image_types=_types(
        *("M", "ND"),
        psir=("ORIGINAL", "PRIMARY", "P", "ND"),
        flow_phase=("ORIGINAL", "PRIMARY", "P", "ND"),
        t1_map=("ORIGINAL", "PRIMARY", "P", "ND"),  # P alone is not phase contrast
    ),
)
GE = Vendor(
    maker="GE MEDICAL SYSTEMS",
    code="GE",
    models=("SIGNA EXCITE", "DISCOVERY MR750w"),
    split="stack",
    numbering="plain",
    bits_stored=16,
    signed=True,
    top=1500.0,
    slope=1.0,
    intercept=0.0,
    spacing_share=0.94,
    extra_phases=1,
    psir=False,
    apex_first=True,
    temporal_position=False,
    heart_rate=True,
    private=((0x0009, "GEMS_IDEN_01"), (0x0043, "GEMS_PARM_01")),
    path="S{number:04d}/I{instance:05d}.MRDC",
    cine_names={
        View.SAX: ("SAX FIESTA", "FIESTA CINE SA", "Cine FIESTA SAX"),
        View.LAX_4CH: ("FIESTA 4CH", "4CH FIESTA CINE", "Cine FIESTA 4CH"),
        View.LAX_2CH: ("FIESTA 2CH", "2CH FIESTA CINE", "Cine FIESTA 2CH"),
        View.LAX_3CH: ("FIESTA 3CH", "LVOT FIESTA CINE", "Cine FIESTA 3CH"),
    },
    late_names=("2DDel Enh SAX", "MDE SA", "SAX MDE"),
    psir_names=(),
    other_names={
        "localiser": "3-Plane Loc",
        "flow_magnitude": "FastCINE PC Ao",
        "flow_phase": "FastCINE PC Ao Phase",
        "t1_map": "MOLLI SAX T1",
        "screenshot": "Screen Save",
    },
    image_types=_types(
        *("OTHER",),
        flow_phase=("ORIGINAL", "PRIMARY", "VELOCITY"),
        t1_map=("DERIVED", "PRIMARY", "T1 MAP"),
    ),
)
PHILIPS = Vendor(
    maker="Philips Medical Systems",
    code="PHILIPS",
    models=("Ingenia", "Achieva"),
    split="stack",
    numbering="hundreds",
    bits_stored=12,
    signed=False,
    top=1100.0,
    slope=2.4,
    intercept=0.0,
    spacing_share=1.06,
    extra_phases=0,
    psir=True,
    apex_first=False,
    temporal_position=True,
    heart_rate=True,
    private=((0x2001, "Philips Imaging DD 001"), (0x2005, "Philips MR Imaging DD 001")),
    path="DICOM/S{number:05d}/IM_{instance:04d}",
    cine_names={
        View.SAX: ("sBTFE_BH_SA", "BTFE_BH_SA", "BTFE_SA_MS"),
        View.LAX_4CH: ("sBTFE_BH_4CH", "BTFE_BH_4CH", "BTFE_4CH"),
        View.LAX_2CH: ("sBTFE_BH_2CH", "BTFE_BH_2CH", "BTFE_2CH"),
        View.LAX_3CH: ("sBTFE_BH_3CH", "BTFE_BH_3CH", "BTFE_LVOT"),
    },
    late_names=("LGE_SA_BH", "TFE_SA_M", "IR_TFE_LGE SA"),
    psir_names=("PSIR_SA_BH", "PSIR_TFE_SA", "IR_TFE_PSIR SA"),
    other_names={
        "localiser": "Survey",
        "flow_magnitude": "QFlow_AAo",
        "flow_phase": "QFlow_AAo",  # both of a pair have one name
        "t1_map": "T1map MOLLI SA",
        "screenshot": "Screen capture",
    },
    image_types=_types(
        *("M_FFE", "M", "FFE"),
        lge=("ORIGINAL", "PRIMARY", "M_IR", "M", "IR"),
        psir=("ORIGINAL", "PRIMARY", "R_IR", "R", "IR"),
        flow_magnitude=("ORIGINAL", "PRIMARY", "M_PCA", "M", "PCA"),
        flow_phase=("ORIGINAL", "PRIMARY", "VELOCITY MAP", "P", "PCA"),
        t1_map=("DERIVED", "PRIMARY", "T1 MAP", "T1", "UNSPECIFIED"),
    ),
)
CANON = Vendor(
    maker="CANON_MEC",
    code="CANON",
    models=("Vantage Orian", "Vantage Galan 3T"),
    split="stack",
    numbering="tens",
    bits_stored=16,
    signed=False,
    top=2600.0,
    slope=1.0,
    intercept=-256.0,
    spacing_share=1.12,
    extra_phases=1,
    psir=False,
    apex_first=False,
    temporal_position=False,
    heart_rate=True,
    private=((0x0029, "TOSHIBA COMAPL HEADER"), (0x700D, "TOSHIBA_MEC_MR3")),
    path="{number:03d}/{instance:06d}.dcm",
    cine_names={
        View.SAX: ("SSFP SA cine", "FFE2D SSFP SAx"),
        View.LAX_4CH: ("SSFP 4ch cine", "FFE2D SSFP 4Ch"),
        View.LAX_2CH: ("SSFP 2ch cine", "FFE2D SSFP 2Ch"),
        View.LAX_3CH: ("SSFP 3ch cine", "FFE2D SSFP LVOT"),
    },
    late_names=("LGE SA SEGFE", "SEG FE IR SAx"),
    psir_names=(),
    other_names={
        "localiser": "Locator",
        "flow_magnitude": "PS AAo cine",
        "flow_phase": "PS AAo cine phase",
        "t1_map": "MOLLI T1 SA",
        "screenshot": "Snapshot",
    },
    image_types=_types(
        *("M",),
        flow_phase=("ORIGINAL", "PRIMARY", "P"),
        t1_map=("DERIVED", "PRIMARY", "T1 MAP"),
    ),
)
VENDORS: tuple[Vendor, ...] = (SIEMENS, GE, PHILIPS, CANON)

# Which scanners stand where: (vendor code, field strengths in T). The second hospital's maker stands nowhere else.
SITE_SCANNERS: dict[str, tuple[tuple[str, tuple[float, ...]], ...]] = {
    SITES[0]: (("SIEMENS", (1.5, 3.0)),),
    SITES[1]: (("GE", (1.5,)), ("SIEMENS", (1.5,))),
    SITES[2]: (("PHILIPS", (3.0, 1.5)),),
    SECOND_SITE: (("CANON", (1.5, 3.0)),),
}


def vendor_of(code: str) -> Vendor:
    """The maker with this code; raises KeyError, naming it, for an unknown one."""
    for vendor in VENDORS:
        if vendor.code == code:
            return vendor
    raise KeyError(f"Unknown vendor {code!r}; known: {', '.join(vendor.code for vendor in VENDORS)}.")
