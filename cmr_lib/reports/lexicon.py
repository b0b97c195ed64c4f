"""The words of cardiac MRI reports: what stands for a chamber, a property, a degree, a place or a cue. Data only."""

# (kind, value, pattern of whole words in the plain spelling). At one place the longest match wins.
LEXICON: tuple[tuple[str, str, str], ...] = (
    # --- chambers and vessels
    ("place", "lv", r"lv"), ("place", "rv", r"rv"), ("place", "la", r"la"), ("place", "ra", r"ra"),
    ("place", "lv rv", r"biventricular|both ventric\w+|ventricles|lv and (?:the )?rv|rv and (?:the )?lv"),
    ("place", "la ra", r"biatrial|both atria\w*|atria|la and (?:the )?ra|ra and (?:the )?la"),
    ("place", "lv la", r"left[- ]sided chambers|left heart(?: chambers)?|left[- ]sided cardiac chambers"),
    ("place", "rv ra", r"right[- ]sided chambers|right heart(?: chambers)?|right[- ]sided cardiac chambers"),
    ("place", "lv rv la ra", r"(?:all )?(?:four )?(?:cardiac )?chambers|four[- ]chamber dilat\w+"),
    ("place", "lv", r"ventricle|ventricular"),
    ("place", "aorta", r"(?:thoracic |ascending |proximal )?(?:aorta|aortic)(?: root| arch| sinus(?:es)?| "
         r"annulus)?|root|"
     r"sinus(?:es)? of valsalva|great vessels"),
    ("place", "pericardium", r"pericardi\w+"), ("place", "pleura", r"pleura\w*"),
    ("place", "other", r"pulmonary (?:artery|arteries|trunk)|coronary sinus|inferior vena cava|ivc|descending "
         r"aort\w+|lungs?|"
     r"rv free wall|free wall of the rv|rv hypertrophy|hypertrophy of the rv|valves?|valvular|mitral|tricuspid|"
          r"aortic valve"),
    ("side", "left", r"left(?:[- ]sided)?"), ("side", "right", r"right(?:[- ]sided)?"), ("side", "both", r"bilateral"),
    # --- properties
    ("dilated", "present", r"dilat\w+|enlarge\w*|aneurysmal|ectatic|ectasia|widened|too large"),
    ("dilated", "absent", r"non[- ]?(?:dilated|enlarged)|undilated"),
    ("size", "", r"sized?|dimensions?|volumes?|calib(?:re|er)|diameters?"),
    ("function", "", r"(?:systolic )?(?:function(?!al)|performance|contractility|contraction|ejection fraction)|"
         r"systolic"),
    ("weak", "present", r"(?:systolic )?(?:dysfunction|impairment|failure)|contracts? poorly|poorly contract\w+|"
     r"(?:global|diffuse)(?:ly)?(?: lv)? hypokine\w+|hypokine\w+ (?:globally|diffusely)|(?:globally|diffusely) "
          r"hypokine\w+"),
    ("skip", "", r"(?:of )?(?:uncertain|unclear|unknown) (?:significance|cause|a?etiology|origin)|cause "
         r"(?:uncertain|unclear|unknown)|(?:pci|stent\w*|graft\w*|bypass\w*|cabg)(?: \w+){0,3} (?:lad|lcx|rca)|"
              r"diastolic (?:dys)?function|valv\w+ (?:dys)?function|(?:aortic|mitral) (?:valve )?regurgitation|"
     r"gadolinium (?:chelate|contrast|kinetics)|bundle branch block|septal motion|end[- ]?(?:systolic|diastolic)|"
     r"contractile reserve|late gadolinium (?:imaging|images|sequences)|late enhancement (?:imaging|images|sequences)|"
     r"native t1|free wall|wall stress|mass (?:lesion|versus)|left ventricular mass"),
    ("hypertrophy", "present", r"hypertroph(?:y|ied|ic)(?! cardiomyopath| phenotype)|thickened walls?|wall "
         r"thickening is increased|"
     r"increased wall thickness|thick[- ]walled"),
    ("hypertrophy", "absent", r"non[- ]?hypertroph\w+"),
    ("thickness", "", r"wall thickness(?:es)?|myocardial thickness|walls"),
    ("thickening", "", r"(?:wall|systolic) thickening"),
    ("lge", "present", r"(?:late |delayed )?(?:gadolinium )?(?:hyper)?enhanc(?:ement|es?|ing)|scar(?:s|red|"
         r"ring)?|fibrosis|"
     r"fibrotic|late gadolinium uptake"),
    ("lge", "absent", r"nulls? (?:normally|uniformly|homogeneously|completely)|(?:normally|uniformly|"
         r"homogeneously|completely) "
     r"null(?:s|ed)|(?:normal|uniform|homogeneous) nulling"),
    ("motion", "", r"(?:regional |segmental )?wall[- ]motion(?! abnorm)|regional (?:function|contraction|motion)"),
    ("wma", "abnormal", r"(?:regional |segmental )?(?:wall[- ]motion|wall motion) abnormalit\w+|regional dysfunction|"
     r"(?:regional|segmental) abnormalit\w+|asynergy"),
    ("wma", "hypokinesis", r"hypokine\w+"), ("wma", "akinesis", r"akine\w+|does not (?:move|contract)|do not "
         r"(?:move|contract)"),
    ("wma", "dyskinesis", r"dyskine\w+|paradoxical (?:motion|movement)|paradoxically"),
    ("segmentwise", "", r"(?:all|every) (?:17 |16 |lv )?segments?(?: contracts?)?"),
    ("effusion", "present", r"effusions?|(?:pericardial|pleural) fluid|fluid|haemopericardium|hemopericardium"),
    ("thrombus", "present", r"thromb(?:us|i)|clots?"),
    # --- diagnoses
    ("diagnosis", "DCM", r"(?:non-?ischemic )?dilated cardiomyopath\w+|dcmp?|dilative cardiomyopath\w+"),
    ("diagnosis", "HCM", r"hypertrophic (?:obstructive )?cardiomyopath\w+|h(?:o)?cmp?|hypertrophic phenotype"),
    ("diagnosis", "ICM", r"ischemic cardiomyopath\w+|ischemic dilated cardiomyopath\w+|icm|(?:myocardial "
         r")?infarct(?:s|ion|ions|ed)?|mi|"
     r"n?stemi"),
    ("diagnosis", "ARV", r"arv[cd]|acm|arrhythmogenic (?:rv )?(?:cardiomyopath\w+|dysplasia)(?: of the rv)?|"
         r"abnormal rv"),
    ("diagnosis", "AMY", r"amyloid(?:osis)?|a?ttr(?:-cm|-type ca| ca)?|al[- ](?:type )?(?:amyloid\w*|"
         r"ca)"), ("diagnosis", "MYO", r"myo-?(?:peri)?carditis|perimyocarditis"),
    ("diagnosis", "NICM", r"non-?ischemic cardiomyopath\w+|nicm"),
    ("nonischemic", "", r"non-?ischemic"),
    ("normalstudy", "", r"(?:structurally )?(?:normal|unremarkable) (?:cardiac |cardiovascular )?(?:magnetic "
         r"resonance|mri|cmr|study|scan|"
     r"examination|exam|heart)(?: (?:study|scan|examination|exam))?|no (?:cardiac )?abnormality detected"),
    # --- judgements and degrees
    ("judged", "normal", r"normal(?:ly|ised|ized)?(?: range)?|preserved|good|unremarkable|maintained|intact|"
     r"within (?:the )?normal (?:limits|range)|within limits|upper (?:limit of )?normal|adequate|hyperdynamic|"
          r"vigorous"),
    ("judged", "bad", r"reduced|impair(?:ed|s)|depressed|poor(?:ly)?|decreased|diminished|compromised|abnormal(?:ly)?"),
    ("judged", "high", r"increased|raised|elevated|thickened"),
    ("degree", "trivial", r"trivial|trace|tiny|minimal"),
    ("degree", "mildly", r"mild(?:ly)?|slight(?:ly)?|small"), ("degree", "moderately", r"moderate(?:ly)?(?: to|"
         r"-to)?|mild(?:ly)?[- ]to[- ]moderate(?:ly)?"),
    ("degree", "severely", r"severe(?:ly)?|marked(?:ly)?|large|massive(?:ly)?|gross(?:ly)?|very|"
         r"moderate(?:ly)?[- ]to[- ]severe(?:ly)?|profound(?:ly)?"),
    ("form", "septal", r"asymmetric(?:al)? septal|septal asymmetric|"
         r"asymmetric(?:al)?"), ("form", "concentric", r"concentric(?:ally)?"),
    # --- patterns and places of enhancement and motion
    ("pattern", "subendocardial", r"subendocardial(?:ly)?"), ("pattern", "transmural", r"(?:near[- "
         r"])?transmural(?:ly|ity)?"),
    ("pattern", "mid_wall", r"midwall|intramural|"
         r"intramyocardial"), ("pattern", "subepicardial", r"(?:sub)?epicardial(?:ly)?"),
    ("pattern", "patchy", r"patchy"), ("pattern", "diffuse", r"diffuse(?:ly)?|global(?:ly)?|circumferential(?:ly)?"),
    ("pattern", "insertion_points", r"(?:(?:inferior|anterior|superior|rv|septal) ){0,2}(?:insertion|hinge)(?: "
         r"points?| sites?)?"),
    ("level", "basal", r"basal(?:ly)?|base"), ("level", "mid", r"mid(?!wall)(?:[- ]?(?:ventric\w*|cavity|lv|"
         r"rv))?|middle|mid lv"),
    ("level", "apical", r"apical(?:ly)?(?: segments?)?"), ("level", "apex", r"apex|apical cap|true apex"),
    ("wall", "anterior", r"anterior"),
    ("wall", "anteroseptal", r"anterosept\w+"),
    ("wall", "inferoseptal", r"inferosept\w+"),
    ("wall", "inferior", r"inferior"),
    ("wall", "inferolateral", r"inferolateral"),
    ("wall", "anterolateral", r"anterolateral"),
    ("wall", "septal", r"(?:interventricular )?sept(?:um|al|a)"), ("wall", "lateral", r"lateral"),
    ("numbered", "", r"segments? \d{1,2}(?:(?:, ?|,? and |,? to |-| ?/ ?)\d{1,2})*"),
    ("territory", "LAD", r"lad"), ("territory", "LCX", r"lcx|cx|left circumflex"), ("territory", "RCA", r"rca|"
         r"right coronary territory|rca or pda"),
    # --- cues
    ("no_longer", "", r"no longer|not any ?more|has now gone"),
    ("denied", "", r"no|not|without|absence of|lack of|lacks|negative for|free (?:of|from)|devoid of|nor|"
         r"neither|none|never|denies|"
     r"fails? to (?:show|demonstrate|reveal)|argues? against|cannot see|n't|non|nil|rules out|"
     r"excludes|exclude[sd] (?=the presence)"),
    ("denied_after", "", r"(?:is|are|was|were|has been|have been|been)? ?(?:confidently |reliably |definitely |"
         r"now )?(?:absent|excluded|ruled out|denied)|"
     r"(?:is|are|was|were) not (?:seen|present|identified|detected|evident|visible|visualised|visualized|"
          r"demonstrated|apparent|found|"
     r"confirmed present)|not (?:seen|present|identified|detected|evident|visible|visualised|visualized|"
          r"demonstrated|apparent|found)|"
     r"(?:is|are) (?:none|negative)"),
    ("denied_after", "", r": ?(?:none|no|nil|absent|negative)(?= ?[.,;]| ?$)"),
    ("unassessed", "", r"(?:was |were |is |are )?not (?:assessed|assessable|given|performed|acquired|evaluated|"
         r"evaluable|imaged)|non-?diagnostic"),
    ("colon", "", r":"),
    ("gone", "", r"(?:has |have |had |is |are |completely |fully |now )*(?:resolved|disappeared|vanished|"
         r"cleared|normalised|normalized|recovered|gone)"),
    ("stays", "", r"(?:no|without)(?: \w+)? (?:change|improvement|reduction|regression|resolution|increase|"
         r"decrease|progression|growth|recovery|"
     r"difference|worsening)(?: in| of)?(?: the size of)?|(?:has|have|had)? ?not (?:completely |fully |yet "
          r")?(?:resolved|regressed|disappeared|"
     r"normalised|normalized|recovered|improved|changed)|unchanged|remains?|persist\w*|stable|still|again|ongoing|residual|continues"),
    ("certain", "", r"no doubt|undoubtedly|without (?:any )?doubt|not only|not without|never without|by no "
         r"means free of|"
     r"not (?:entirely |completely |wholly |quite )?free (?:of|from)|definite(?:ly)?|clear(?:ly)?|confirmed|"
          r"proven|beyond doubt"),
    ("rather", "", r"rather than|instead of|and not|, not"),
    ("untrue", "", r"not the case that|not true that|wrong to (?:call|say)|incorrect to|absence of (?:an?|any|"
         r"the) (?=\w+ is not in question)"),
    ("doubt", "", r"possib(?:le|ly)|probab(?:le|ly)|likely|unlikely|presum(?:ed|ably)|perhaps|may(?:be)?|might|"
         r"could|would favou?r|favou?r(?:s|ing|ed)?|"
     r"suspect(?:ed|s)?|suspicio(?:us|n)(?: for| of)?|suggest(?:s|ed|ing|ive)?(?: of)?|equivocal|questionable|"
          r"question of|query|"
     r"concern(?:ing)? for|borderline|seem(?:s|ingly)?|apparent(?!ly normal)|indeterminate|unclear (?:whether|"
          r"if)|uncertain|"
     r"raises? the (?:possibility|suspicion|question) of|consider(?:ation of)?|differential(?: diagnosis)?(?: "
          r"includes?)?|"
     r"rule out|evaluate for|exclude|to exclude|not sure|inconclusive for|appear(?:s|ances)? (?:to be "
          r")?(?=borderline)"),
    ("versus", "", r"versus|vs\.?"),
    ("doubt_both", "", r"(?:can ?not|can't|could not|couldn't|may not|unable to|difficult to|hard to|not "
         r"possible to|impossible to|not able to|"
     r"does not|do not|did not|doesn't|not)(?: be)?(?: \w+ly)?(?: be)?(?: \w+ly)? ?(?:exclude[d]?|rule[d]? out|"
          r"rule out|discount(?:ed)?|confirm(?:ed)?)|"
     r"not (?:able to be|possible to be) excluded|exclusion of|cannot say that there is no|cannot be (?:certain|"
          r"sure) (?:of|that)"),
    ("doubt_after", "", r"(?:is|are|was|were|remains?) (?:doubtful|possible|equivocal|questionable|uncertain|"
         r"likely|probable|suspected|"
     r"indeterminate|unclear|inconclusive|not possible|suggested|questioned)|should be considered|to be "
          r"considered|not possible|"
     r"is genuine|cannot be assessed"),
    ("past", "", r"history of|known(?: to have)?|status post|previous(?:ly)?|prior(?: study| scan| report)?|"
         r"former(?:ly)?|past medical history|"
     r"in (?:19|20)\d\d|had (?:been|an?|acute)?|years? ago|months? ago|last year|diagnosed|post(?= \w* "
          r"?(?:infarct|mi\b|myocarditis))|"
     r"echo(?:cardiogra\w+)?(?: in \w+)? (?:reported|showed)|reported elsewhere|"
     r"treated|follow[- ]up of|before(?= \w+ implantation)|pre-?existing"),
    ("relative", "", r"family history|famil\w+ screening|(?:mother|father|sister|brother|son|daughter|uncle|"
         r"aunt|cousin|sibling|parent|relative)s?"),
    ("asserted", "", r"(?:in keeping|consistent|compatible|fitting|in line|accords?) with|diagnostic (?:of|for)|"
         r"typical (?:of|for)|"
     r"characteristic of|features? of|evidence (?:of|for)|presence of|signs? of|those of"),
    ("stop", "", r";"),
    ("stop", "", r"but|however|although|though|whereas|while|despite|except|otherwise|with|which|there (?:is|"
         r"are|was|were)|shows?|because|"
     r"due to|owing to|given|since|as the|today|on the present|now|in spite of|apart from|\. "),
    ("verb", "", r"is|are|has|have|being|measures?|appears?|contracts?|lies|be"),
    ("comma", "", r","), ("and", "", r"and|&|as well as|plus"), ("or", "", r"or|/"), ("of", "", r"of|in|to|"
         r"affects?|involv\w+|confined|at|along|within"),
    ("that_of", "", r"that of"), ("open", "", r"\("), ("close", "", r"\)"), ("more_than", "", r"more than|than"),
    ("exact", "", r"not in question"), ("mark", "", r"\?+"),
)  # fmt: skip
