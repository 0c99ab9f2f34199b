"""Operators that TensorRT's ONNX parser reads, by version, of those in networks like ours.

Taken from `docs/operators.md` of onnx/onnx-tensorrt, at the versions named below; the newest table
that is not newer than the target counts, so a target between two tables is judged strictly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

# In every table since 8.5, with float32, float16 and, where it says anything to them, integers.
_ALWAYS = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast
    Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace
    DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather
    GatherElements GatherND Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual
    GridSample HardSigmoid HardSwish Identity If InstanceNormalization IsNaN LRN LSTM LeakyRelu Less
    LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul Max MaxPool Mean
    MeanVarianceNormalization Min Mod Mul Neg NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow
    QuantizeLinear RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range
    Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign Round Scan
    ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus
    Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose
    Trilu Unsqueeze Upsample Where Xor
    """.split()
)
_SINCE_9_2 = frozenset("CastLike GroupNormalization Hardmax IsInf LayerNormalization".split())
_SINCE_10_15 = frozenset(
    "BlackmanWindow DeformConv Gelu HammingWindow HannWindow Mish STFT".split()
)

_AXES_OF_REDUCTIONS = {
    f"Reduce{name}": 1 for name in "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare".split()
}


@dataclass(frozen=True)
class ParserTable:
    """Operators and limits of one version of the parser.

    Attributes:
        version: Of the library, as (major, minor).
        opset: The highest ONNX operator set.
        operators: Names of operators in ONNX's own domain.
        constant_inputs: Operator → place of an input that must be a constant.
        source: Where the table stands.
    """

    version: tuple[int, int]
    opset: int
    operators: frozenset[str]
    constant_inputs: dict[str, int]
    source: str


OLDEST = (8, 6)  # JetPack 6.0
_STATED = "onnx-tensorrt docs/operators.md, TensorRT"
TABLES = (
    ParserTable(
        (8, 5),
        17,
        _ALWAYS,
        {"Slice": 3, "Squeeze": 1, "TopK": 1, "Unsqueeze": 1, "CumSum": 1},
        f"{_STATED} 8.5",
    ),
    ParserTable(
        (9, 2),
        19,
        _ALWAYS | _SINCE_9_2,
        {"Slice": 3, "Squeeze": 1, "Unsqueeze": 1, "CumSum": 1},
        f"{_STATED} 9.2",
    ),
    ParserTable(
        (10, 15),
        24,
        _ALWAYS | _SINCE_9_2 | _SINCE_10_15,
        {**_AXES_OF_REDUCTIONS, "CumSum": 1},
        f"{_STATED} 10.15",
    ),
)
# Asked of the parser itself: a deformable convolution is a plugin, and the library brings none.
RTX_TABLE = replace(
    TABLES[-1],
    version=(1, 7),
    operators=TABLES[-1].operators - {"DeformConv"},
    source="OnnxParser.supports_operator, TensorRT-RTX 1.7",
)


def parser_table(version: tuple[int, int]) -> ParserTable:
    """The table to judge a target by: the newest that is not newer than it.

    Args:
        version: (major, minor) of the target's TensorRT; below 8.5 the oldest table answers.
    """
    fitting = [table for table in TABLES if table.version <= version]
    return fitting[-1] if fitting else TABLES[0]


def first_reader(opset: int) -> str:
    """The oldest version that reads an operator set, as "8.6"; no older one is supported here.

    Raises:
        ValueError: no known version does.
    """
    for table in TABLES:
        if opset <= table.opset:
            return ".".join(map(str, max(table.version, OLDEST)))
    raise ValueError(f"expected an opset up to {TABLES[-1].opset}, received {opset}")
