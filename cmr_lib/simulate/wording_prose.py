"""Whole sentences, as the first hospital's narrative readers write them.

The vocabulary follows the items that the SCMR reporting guideline asks for (JCMR 2022,
doi 10.1186/s12968-021-00827-z); the sentences are our own.
"""

from cmr_lib.simulate.voices import Voice

DEGREES = {"mildly": "mildly", "moderately": "moderately", "severely": "severely"}
NOUNS = {"mildly": "mild", "moderately": "moderate", "severely": "severe"}
WORDS: dict[str, tuple[str, ...]] = {
    "size_normal": ("normal in size", "of normal size", "not dilated"),
    "size_bad": ("dilated",),
    "function_normal": ("normal", "preserved"),
    "function_high": ("hyperdynamic", "normal to hyperdynamic"),
    "function_bad": ("reduced", "impaired"),
    "lv_noun_normal": ("normal LV size", "non-dilated LV"),
    "lv_noun_bad": ("dilated LV",),
    "rv_noun_normal": ("normal-sized RV", "normal RV size"),
    "rv_noun_bad": ("dilated RV", "dilated right ventricle"),
    "calibre_normal": ("normal in calibre", "not dilated"),
    "calibre_bad": ("dilated",),
    "form_septal": ("asymmetric septal hypertrophy", "asymmetric hypertrophy of the septum"),
    "form_apical": ("apical hypertrophy", "hypertrophy confined to the apical segments"),
    "form_concentric": ("concentric left ventricular hypertrophy", "concentric LVH"),
    "form_none": ("left ventricular hypertrophy", "thickening of the LV wall"),
    "name_septal": ("asymmetric septal hypertrophic cardiomyopathy", "hypertrophic cardiomyopathy (HCM)"),
    "name_apical": ("apical hypertrophic cardiomyopathy", "hypertrophic cardiomyopathy"),
    "name_concentric": ("hypertrophic cardiomyopathy", "concentric hypertrophic cardiomyopathy"),
    "kind_absent": ("akinesis",),
    "kind_severe": ("severe hypokinesis",),
    "kind_weak": ("hypokinesis",),
    "thinned": (" with wall thinning", ", which are thinned"),
    "leads_septum": ("septal",),
    "leads_lateral": ("lateral wall",),
    "lags_septum": ("the septum",),
    "lags_lateral": ("the lateral wall",),
    "late": ("late gadolinium enhancement", "LGE"),
    "hedge": ("Findings consistent with", "Appearances in keeping with", "Findings suggest", "Likely"),
    "dose": ("0.1 mmol/kg", "0.15 mmol/kg", "0.2 mmol/kg"),
}
LINES: dict[str, tuple[str, ...]] = {
    "indication": (
        "Dyspnoea on exertion.",
        "Chest pain.",
        "Palpitations.",
        "Abnormal ECG.",
        "Assessment of ventricular function and viability.",
        "Suspected cardiomyopathy.",
        "Family history of sudden death.",
        "Inconclusive echocardiogram.",
        "Syncope.",
        "Ventricular ectopy on Holter monitoring.",
    ),
    "technique": (
        "Breath-held SSFP cine imaging in short and long axis; late gadolinium imaging after {dose}. "
        "Heart rate {heart_rate} bpm, BSA {bsa} m2.",
        "ECG-gated SSFP cines in standard planes and inversion-recovery imaging ten minutes after {dose} gadolinium. "
        "Heart rate {heart_rate} bpm, BSA {bsa} m2.",
    ),
    "technique_bare": (
        "Breath-held SSFP cine imaging in short and long axis; no contrast was given. Heart rate {heart_rate} bpm, "
        "BSA {bsa} m2.",
    ),
    # findings
    "lv_size": (
        "The left ventricle is {lv_size} (LVEDV {lvedv} mL, LVEDVi {lvedvi} mL/m2).",
        "Left ventricle {lv_size} with an end-diastolic volume index of {lvedvi} mL/m2.",
        "The left ventricle is {lv_size}, EDV {lvedv} mL, indexed {lvedvi} mL/m2, ESV {lvesv} mL.",
    ),
    "lv_function": (
        "Left ventricular systolic function is {lv_function}, LVEF {lvef} %.",
        "Global LV systolic function is {lv_function} with an EF of {lvef} %.",
        "LVEF is {lvef} % ({lv_function}).",
    ),
    "wall_normal": (
        "Wall thickness is normal (maximum {wall} mm).",
        "Normal LV wall thickness, up to {wall} mm.",
        "No left ventricular hypertrophy, maximal wall thickness {wall} mm.",
    ),
    "wall_thick": (
        "There is {degree} {form}, maximum {wall} mm.",
        "{degree} {form} with a maximal end-diastolic thickness of {wall} mm.",
    ),
    "mass": ("LV mass {mass} g ({mass_index} g/m2).", "Mass index {mass_index} g/m2."),
    "motion_normal": (
        "No regional wall motion abnormality.",
        "There is no regional wall motion abnormality.",
        "Wall motion is normal in all segments.",
    ),
    "motion_even": ("No regional wall motion abnormality.", "There is no regional wall motion abnormality."),
    "motion_global": ("Global hypokinesis.", "Diffuse hypokinesis without a regional pattern."),
    "motion_regional": (
        "There is {kind} of the {weak}{thin}.",
        "Regional wall motion abnormality: {kind} of the {weak}{thin}.",
        "{kind} of the {weak}{thin}.",
    ),
    "rv": (
        "The right ventricle is {rv_size} (RVEDVi {rvedvi} mL/m2) with {rv_function} systolic function, RVEF {rvef} %.",
        "Right ventricle {rv_size}; RV systolic function {rv_function} with an RVEF of {rvef} %.",
        "The right ventricle is {rv_size}, EDV {rvedv} mL, indexed {rvedvi} mL/m2. RVEF {rvef} % ({rv_function}).",
    ),
    "septum_flat": ("The interventricular septum is flattened.", "There is flattening of the interventricular septum."),
    "right_wall": ("The free wall of the right ventricle is thickened.", "The RV free wall is thickened."),
    "both_walls": ("The RV free wall is thick too: biventricular thickening.", "There is biventricular thickening."),
    "filling_slow": (
        "Half filling is reached {half_filling} ms after end-systole, relaxation is prolonged.",
        "Early filling is slow, with half of the stroke volume back {half_filling} ms after end-systole.",
    ),
    "filling_normal": (
        "Half filling is reached {half_filling} ms after end-systole, which is normal.",
        "Early diastolic filling is not delayed (half filling after {half_filling} ms).",
    ),
    "delay_seen": (
        "{leads} contraction precedes that of {lags} by {delay} ms, in keeping with mechanical dyssynchrony.",
        "There is mechanical dyssynchrony, {leads} contraction preceding {lags} by {delay} ms.",
    ),
    "delay_none": ("No mechanical dyssynchrony.", "The septum and the lateral wall contract together."),
    "late_none": (
        "No late gadolinium enhancement.",
        "There is no late gadolinium enhancement to suggest scar or fibrosis.",
        "No LGE.",
        "No evidence of myocardial scar on late gadolinium imaging.",
    ),
    "late_doubt": (
        "Possible faint LGE at the inferior RV insertion point.",
        "Subtle septal LGE cannot be excluded.",
    ),
    "late_seen": ("There is {scar}.", "{scar}.", "Late imaging shows {scar}."),
    "late_probable": ("Probable {scar}.", "There is probable {scar}."),
    "late_missing": ("Late gadolinium imaging was not performed.", "Scar was not assessed: no contrast was given."),
    "scar_subendocardial": (
        "subendocardial {late} ({extent} of wall thickness) of the {where} in the {territory}",
        "subendocardial {late} of the {where}, {long_territory}",
        "subendocardial {late} involving the {where}, {extent} transmurality, {territory}",
    ),
    "scar_transmural": (
        "transmural {late} ({extent} of wall thickness) of the {where} in the {territory}",
        "transmural {late} of the {where}, {long_territory}",
    ),
    "short_subendocardial": ("subendocardial {late}, {territory}", "subendocardial {late} in the {territory}"),
    "short_transmural": ("transmural {late}, {territory}", "transmural {late} in the {territory}"),
    "scar_midwall_septal": ("mid-wall septal {late}", "linear mid-wall {late} in the septum"),
    "scar_midwall_lateral": ("mid-wall {late} of the {where}", "linear mid-wall {late} in the {where}"),
    "scar_insertion_points": ("{late} at the RV insertion points", "{late} confined to the RV insertion points"),
    "scar_patchy": ("patchy mid-wall {late} of the {where}", "patchy {late} in the {where}"),
    "scar_subepicardial": ("subepicardial {late} of the {where}", "band-like subepicardial {late} in the {where}"),
    "scar_diffuse": (
        "diffuse subendocardial {late} with abnormal nulling of the myocardium",
        "global subendocardial {late}, most marked at the base, with abnormal myocardial nulling",
    ),
    "aorta_normal": (
        "The aortic root measures {aorta} mm, {aortic_size}.",
        "The aortic root is {aortic_size} ({aorta} mm).",
        "The thoracic aorta is {aortic_size}.",
    ),
    "aorta_wide": ("The aortic root is {aortic_size} at {aorta} mm.", "{aortic_size} aortic root, {aorta} mm."),
    "pericardium_none": ("No pericardial effusion.", "There is no pericardial effusion."),
    "pericardium_trivial": (
        "Trivial pericardial fluid, likely physiological.",
        "A trace of pericardial fluid within physiological limits.",
    ),
    "pericardium_effusion": (
        "There is a {effusion} pericardial effusion, up to {fluid} mm.",
        "{effusion} pericardial effusion measuring {fluid} mm.",
        "There is a {effusion} circumferential pericardial effusion.",
    ),
    "thrombus_none": ("No intracardiac thrombus.", "No LV thrombus."),
    "thrombus_seen": (
        "There is an apical left ventricular thrombus.",
        "A filling defect at the left ventricular apex represents thrombus.",
    ),
    "thrombus_doubt": (
        "A small apical thrombus cannot be excluded.",
        "Slow flow at the apex; possible small thrombus.",
    ),
    "negatives": (
        "No significant valve disease.",
        "Valves unremarkable on cine images.",
        "No significant extracardiac finding.",
    ),
    # impression
    "sum_lv": (
        "{lv_noun} with {lv_function_plain} systolic function (LVEF {lvef} %).",
        "{lv_noun}, {lv_function_plain} LV function, EF {lvef} %.",
    ),
    "sum_rv": (
        "{rv_noun} with {rv_function} function (RVEF {rvef} %).",
        "{rv_noun}, {rv_function} RV function, RVEF {rvef} %.",
    ),
    "sum_wall": ("LV hypertrophy up to {wall} mm.", "{degree} LV hypertrophy ({wall} mm)."),
    "sum_aorta": ("{aortic_size} aortic root ({aorta} mm).", "Aortic root {aortic_size}, {aorta} mm."),
    "sum_effusion": ("{effusion} pericardial effusion.", "{effusion} pericardial effusion ({fluid} mm)."),
    "sum_thrombus": ("Apical LV thrombus; anticoagulation is advised.", "Left ventricular apical thrombus."),
    "sum_thrombus_doubt": ("Apical thrombus cannot be excluded.",),
    "sum_filling": ("Prolonged relaxation (half filling {half_filling} ms).", "Slow early diastolic filling."),
    "sum_delay": (
        "Mechanical dyssynchrony, {leads} contraction {delay} ms ahead.",
        "LV dyssynchrony: {leads} contraction is {delay} ms early.",
    ),
    "opinion_normal": ("Normal cardiac MRI.", "Normal study.", "No evidence of cardiomyopathy."),
    "opinion_incidental": ("No evidence of cardiomyopathy.", "Structurally normal ventricles."),
    "opinion_doubt": ("No definite cardiomyopathy; subtle fibrosis cannot be excluded.",),
    "opinion_thick_mild": (
        "{degree} LV hypertrophy of uncertain cause, possibly hypertensive.",
        "{degree} wall thickening; hypertensive heart disease should be considered.",
    ),
    "opinion_large": (
        "LV dilation with preserved function; athletic heart or volume load should be considered.",
        "Dilated LV of uncertain significance, function preserved.",
    ),
    "opinion_weak": (
        "{lv_function_plain} LV function of uncertain cause.",
        "{lv_function_plain} LV function without an evident cause; early dilated cardiomyopathy is possible.",
    ),
    "opinion_regional": (
        "Regional wall motion abnormality in the {weak_territory}; ischaemic heart disease should be considered.",
        "Possible ischaemic heart disease, {weak_territory}.",
    ),
    "opinion_infarct": (
        "Ischaemic cardiomyopathy with prior myocardial infarction in the {territory}.",
        "{hedge} ischaemic cardiomyopathy, {long_territory}.",
        "Ischaemic cardiomyopathy, old infarct in the {territory}.",
    ),
    "opinion_infarct_small": (
        "Prior myocardial infarction in the {territory}.",
        "Old infarct in the {long_territory}; {lv_function_plain} LV function.",
        "{hedge} prior myocardial infarction, {territory}.",
    ),
    "opinion_hcm": ("{hedge} {hcm}.", "{hcm}."),
    "opinion_thick": (
        "Concentric LV hypertrophy; hypertensive heart disease, HCM and infiltration should be considered.",
        "Concentric hypertrophy, cause uncertain; an infiltrative cardiomyopathy cannot be excluded.",
    ),
    "opinion_amyloid": (
        "{hedge} cardiac amyloidosis.",
        "Infiltrative cardiomyopathy, most likely cardiac amyloidosis.",
        "{hedge} cardiac amyloidosis; screening for monoclonal protein and bone scintigraphy are advised.",
    ),
    "opinion_dcm": (
        "{hedge} dilated cardiomyopathy.",
        "{hedge} non-ischaemic dilated cardiomyopathy.",
        "Dilated cardiomyopathy (DCM).",
    ),
    "opinion_dcm_fibrosis": (
        "{hedge} dilated cardiomyopathy with mid-wall fibrosis.",
        "Non-ischaemic dilated cardiomyopathy, septal mid-wall fibrosis.",
    ),
    "opinion_dcm_regional": (
        "{hedge} dilated cardiomyopathy; an ischaemic cause cannot be excluded.",
        "Dilated cardiomyopathy with a regional component, ischaemia to be excluded.",
    ),
    "opinion_right": (
        "Abnormal right ventricle; right ventricular cardiomyopathy should be considered.",
        "{hedge} right heart disease; ARVC or pulmonary hypertension should be considered.",
    ),
    "opinion_right_pressure": (
        "{hedge} right ventricular pressure overload.",
        "Right heart disease with septal flattening; pulmonary hypertension should be considered.",
    ),
    "opinion_right_mild": ("Mild right ventricular abnormality of uncertain significance.",),
    "opinion_myocarditis": (
        "{hedge} myocarditis.",
        "Non-ischaemic subepicardial scar, most likely previous myocarditis.",
        "{hedge} myocarditis; without oedema imaging acute and healed cannot be told apart.",
    ),
    "opinion_stripe": (
        "Non-ischaemic myocardial fibrosis of uncertain cause; Fabry disease should be considered.",
        "Non-ischaemic myocardial fibrosis, mid-wall pattern.",
        "Mid-wall fibrosis of non-ischaemic type; cause uncertain.",
    ),
    "opinion_patchy": (
        "Non-ischaemic myocardial fibrosis; cardiac sarcoidosis should be considered.",
        "Non-ischaemic fibrosis of uncertain cause.",
        "Patchy fibrosis, possible sarcoidosis.",
    ),
    "opinion_insertion": ("Non-specific fibrosis at the RV insertion points.",),
    # follow-up
    "change_same": (
        "Compared with the previous study LVEF is unchanged ({before} % before).",
        "Compared with the previous study there is no significant change in LVEF ({before} % before).",
    ),
    "change_up": ("Compared with the previous study LVEF has improved from {before} % to {lvef} %.",),
    "change_down": ("Compared with the previous study LVEF has deteriorated from {before} % to {lvef} %.",),
    "fluid_gone": ("The pericardial effusion has resolved.",),
    "fluid_less": ("The pericardial effusion is smaller than before.",),
    "fluid_new": ("The pericardial effusion is new.",),
    # added later
    "addendum": (
        "The LV mass index is {mass_index} g/m2.",
        "The LV end-systolic volume is {lvesv} mL.",
        "Discussed at the multidisciplinary meeting; no change to the conclusion.",
        "A dictation error has been corrected: LVEF {lvef} %, RVEF {rvef} %.",
        "The right ventricular end-diastolic volume is {rvedv} mL.",
        "The heart rate during the examination was {heart_rate} bpm.",
    ),
}
PROSE = Voice(DEGREES, NOUNS, WORDS, LINES)
