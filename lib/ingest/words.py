"""The words that a series description may keep; every other word may be somebody's name."""

from __future__ import annotations

import re

# What protocols are made of, in English, German and the vendors' own words; lower case.
_LATIN = """
abd abdomen abdominal body kidney kidneys renal niere nieren liver leber pelvis becken spine wirbelsaeule head brain
kopf urogram urography urographie adrenal nebenniere ax axial tra trans transverse transversal transv cor coronal
koronar sag sagittal sagittale obl oblique oax ocor osag plane planes 3plane localizer localiser localizers loc scout
survey topo topogramm t1 t2 t1w t2w t1wi t2wi pd pdw weighted gewichtet tse fse ssfse frfse haste ssh sshtse single
shot fase fast spin echo gradient gre flash fl fl2d fl3d tfl tfe ffe bffe btfe ssfp fiesta trufi truefisp bssfp
balanced fisp vibe starvibe twist lava flex turbo thrive ethrive mthrive propeller blade multivane rad radial quick 3d
2d 4d quick3d fspgr spgr efgr3d fame ideal dixon mdixon qdixon wfi mecho arms hyperband propel in opp out opposed
phase phases inphase outphase oop ip op inp outp water fat wasser fett only w f fs fatsat fatsuppressed sat spir spair
efs stir spectral suppressed supp nofs non no without with ohne mit pre post native nativ plain kontrast contrast
enhanced ce gad gd km mkm c dyn dynamic dynamisch dynamik multiphase mph art arterial arteriell late early spaet frueh
ven venous venoes portal portalvenous pv pvp portalven portovenous cortico medullary corticomedullary corticomed cmp
cm nephro nephrographic nephrogram nephrographisch ngp np cp dp parenchymal parenchym excretory exkretorisch delayed
delay del equilibrium equi equilib interstitial hepatobiliary hbp immediate min sec s mins secs mm ms ml tr te ti fa
nex diff dwi dw adc ep ep2d epi trace tracew b bval ivim resolve zoomit focus exp eadc sub subtraction subtracted
subtr mip minip mpr mnip reformat reformatted recon curved thick thin slab cal calib calibration asset sense smart
shim ref reference reg registered moco motion corrected mrcp mra angio angiography tof map maps mapping r2 t2star star
bold perfusion flow asl bh breath hold breathhold atem anhalte expiration insp inspiration free fb trig triggered resp
rt navi nav pace gated gating ga rep repeat test series serie scan acq acquisition dicom image images set run hr high
res resolution hi iso isotropic large small fov left right rechts links both beide bilateral se ir inversion
recovery grappa caipi cs compressed acc accelerated ac deep dl aircon air muscle bowel bladder blase mass tumor tumour
cyst protocol routine standard screening localization localisation lokalisator lokalizer tracker bolus track timing
tracking fluoro care prep phantom
"""
WORDS = frozenset(_LATIN.split())
_HAN_TERMS = """
" " 平扫 增强 动脉期 动脉 静脉期 门静脉期 门脉期 门脉 静脉 延迟期 延迟 皮质期 皮髓质期 皮髓期
实质期 肾实质期 排泄期 平衡期 早期 晚期 定位像 定位 扫描 轴位 横断位 横断 横轴位 冠状位 冠状 矢状位
矢状 压脂 脂肪抑制 抑脂 水像 脂像 同相位 反相位 同相 反相 弥散 扩散 减影 肾脏 肾 双肾 腹部 上腹部
中腹部 肝脏 肝 屏气 呼吸触发 自由呼吸 多期 动态 期 秒 分钟 水成像
"""
HAN_TERMS = tuple(sorted(_HAN_TERMS.split(), key=len, reverse=True))  # longest first: one may hold another
_TOKEN = re.compile(r"[^\W_]+")
_MEASURE = re.compile(r"(?:[bst]|te|tr|ti|fa)?\d{1,4}(?:\.\d+)?(?:s|sec|min|mm|ms|ml|x)?", re.IGNORECASE)
_HAN = re.compile(r"[\u3400-\u9fff]+")
_LONGEST_NUMBER = 3  # digits; a longer one may be a record number


def tokens(text: str) -> list[str]:
    """Letters and digits between separators, in order; Chinese text is cut into known terms and single signs."""
    return [part for token in _TOKEN.findall(text) for part in _cut(token)]


def is_known(token: str) -> bool:
    """Whether a token is protocol language: a word or term of the tables, or a short measure such as ``90s``."""
    if token.lower() in WORDS or token in HAN_TERMS:
        return True
    return bool(_MEASURE.fullmatch(token)) and sum(sign.isdigit() for sign in token) <= _LONGEST_NUMBER


def _cut(token: str) -> list[str]:
    if not _HAN.search(token):
        return [token]
    known = "|".join(map(re.escape, HAN_TERMS))
    return re.findall(rf"{known}|[\u3400-\u9fff]|[^\u3400-\u9fff]+", token)
