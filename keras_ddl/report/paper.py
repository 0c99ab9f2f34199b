"""The paper's own numbers, to stand beside ours.

Dynamic Difference Learning With Spatio-Temporal Correlation for Deepfake Video Detection, IEEE
TIFS 2023: the comparison on Celeb-DF and DFDC, and the ablation's video-level ACC and AUC.
"""

from __future__ import annotations

from typing import NamedTuple


class PaperRow(NamedTuple):
    """One network on one dataset; None is a number that is not in the tables."""

    method: str
    clip: tuple[float | None, ...]  # ACC, AUC, F1 of the frame level
    video: tuple[float | None, ...]  # likewise


DATASETS = {
    "Celeb-DF-v2": "Celeb-DF",
    "Celeb-DF": "Celeb-DF",
    "DFDC": "DFDC",
    "FaceForensics++": "FF++",
}
"""From our name of a dataset to the paper's."""

# method: Celeb-DF frame level, video level; DFDC frame level, video level
_COMPARISON = """
ShallowNet       .8303 .9056 .8792 .8552 .8281 .8987 .7931 .8577 .8403 .8047 .8042 .8493
MesoNet          .9464 .9852 .9595 .9768 .9774 .9826 .8621 .9261 .8946 .8750 .8749 .9047
Xception         .9780 .9981 .9833 .9923 .9901 .9941 .8891 .9601 .9144 .8984 .8978 .9226
F3-Net           .9876 .9939 .9904 .9942 .9916 .9956 .9245 .9778 .9421 .9375 .9245 .9526
Multi-att        .9863 .9952 .9894 .9903 .9887 .9927 .9102 .9753 .9394 .9219 .9396 .9535
GFF              .9859 .9956 .9874 .9865 .9901 .9912 .9233 .9651 .9407 .9219 .9223 .9408
CNN+LSTM         .8620 .9337 .8953 .8994 .9546 .9248 .8509 .9122 .8827 .8789 .9129 .9057
DBiRNN           .9629 .9948 .9718 .9788 .9942 .984  .8780 .9470 .9007 .8828 .9483 .9056
CLRNet           .8951 .9536 .9220 .9402 .9671 .9564 .8208 .9094 .8498 .8281 .9182 .8534
ConvLSTM         .9610 .9902 .9701 .9729 .9892 .9796 .8785 .9474 .9010 .8633 .9543 .8895
DIL              .7705 .8279 .8296 .8085 .8349 .8611 .7319 .8006 .7861 .7070 .8011 .7648
DDL              .9907 .9998 .9933 .9961 .9970 .9985 .9217 .9797 .9407 .9414 .9586 .9589
"""

# network: ACC and AUC of videos of FF++, Celeb-DF, DFDC
_ABLATION = """
ResNet18         .9536 .9594 .9884 .9872 .8594 .8575
ResNet18+DFDC    .9679 .9873 .9923 .9967 .8906 .9248
ResNet18+MSA     .9643 .9788 .9891 .9955 .8783 .9457
ResNet18+both    .9714 .9893 .9981 .9982 .8945 .9387
Xception         .9679 .9764 .9923 .9901 .8984 .8978
Xception+DFDC    .9821 .9927 .9942 .9962 .9336 .9480
Xception+MSA     .9786 .9815 .9942 .9952 .9142 .9223
Xception+both    .9893 .9929 .9961 .9970 .9414 .9586
"""
_ABLATED = ("FF++", "Celeb-DF", "DFDC")

# modules: DF, F2F, FS, NT of FF++
_MANIPULATIONS = """
none  .9458 .8935 .9242 .7435
dfdc  .9668 .9193 .9506 .7828
msa   .9673 .9136 .9453 .7724
both  .9743 .9228 .9601 .7935
"""
_MANIPULATED = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
VARIANTS = {"none": "", "dfdc": "+DFDC", "msa": "+MSA", "both": "+both"}
"""Keys of `networks.ablations.VARIANTS` and how the paper's networks are called with them."""


def paper_rows(dataset: str) -> list[PaperRow]:
    """Return what the paper prints for one of our datasets; empty where it prints nothing.

    The last row is the paper's own method.
    """
    name = DATASETS.get(dataset)
    if name is None:
        return []
    if name == "FF++":
        none = (None, None, None)
        rows = _read(_ABLATION).items()
        return [PaperRow(method, none, (*numbers[:2], None)) for method, numbers in rows]
    start = 0 if name == "Celeb-DF" else 6
    return [
        PaperRow(method, numbers[start : start + 3], numbers[start + 3 : start + 6])
        for method, numbers in _read(_COMPARISON).items()
    ]


def paper_ablation(dataset: str, backbone: str, variant: str) -> tuple[float, float] | None:
    """Return the ablation's video-level ACC and AUC, None where the paper has none.

    Args:
        dataset: Our name of it.
        backbone: `resnet18` or `xception`.
        variant: A key of `VARIANTS`.
    """
    name = DATASETS.get(dataset)
    networks = {"resnet18": "ResNet18", "xception": "Xception"}
    if name is None or backbone not in networks:
        return None
    start = 2 * _ABLATED.index(name)
    accuracy, auc = _read(_ABLATION)[networks[backbone] + VARIANTS[variant]][start : start + 2]
    return accuracy, auc


def paper_manipulation(method: str, variant: str) -> float | None:
    """Return the paper's number for a manipulation of FaceForensics++, None where it has none.

    Which number it is, ACC or AUC, is not known to us.
    """
    if method not in _MANIPULATED:
        return None
    return _read(_MANIPULATIONS)[variant][_MANIPULATED.index(method)]


def _read(text: str) -> dict[str, tuple[float, ...]]:
    parts = [line.split() for line in text.strip().splitlines()]
    return {method: tuple(map(float, numbers)) for method, *numbers in parts}
