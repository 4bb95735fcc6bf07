"""What a fit is fuzzed with: rows of every kind, good and bad, and params, good and bad."""

from typing import Any

from hypothesis import strategies as st
from pyspark.ml.linalg import Vectors

from tests.ml.frames import unchecked

INF, NAN = float("inf"), float("nan")
SIZE = 12

TYPES = {
    "vector": None,
    "ids": "array<int>",
    "long ids": "array<bigint>",
    "pairs": "struct<ids:array<bigint>,values:array<double>>",
    "floats": "array<float>",
    "doubles": "array<double>",
}
usual_values = st.sampled_from([0.0, 1.0, -1.0, 0.5, 3.0])
odd_values = st.sampled_from(
    [1e-30, 1e-45, 5e-324, 1e6, -1e12, 1e20, 3e38, 1e39, -1e300, NAN, INF, -INF, None]
)
odd_ids = st.sampled_from([-1, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, None])
params = {
    "solver": st.sampled_from(["adagrad", "gibbs", "auto", "gd", "normal"]),
    "factorSize": st.sampled_from([0, 1, 3, 8, 40, -1]),
    "maxIter": st.sampled_from([0, 1, 3, 6, -1]),
    "stepSize": st.sampled_from([0.1, 1e-9, 10.0, 1e6, 1e30, 0.0, NAN, INF]),
    "tol": st.sampled_from([0.0, 0.5, -1.0]),
    "patience": st.sampled_from([1, 3, 0]),
    "regParam": st.sampled_from([0.0, 0.1, 1e6, 1e30, -1.0, NAN]),
    "regParamLinear": st.sampled_from([0.0, 1.0, 1e300]),
    "regParamFactors": st.sampled_from([0.0, 1.0, 1e300]),
    "regParamPrior": st.sampled_from([0.0, 1.0, 1e9, 1e300]),
    "initStd": st.sampled_from([0.0, 0.1, 10.0, 1e6, 1e30, 1e300, INF]),
    "miniBatchFraction": st.sampled_from([0.01, 0.5, 1.0, 0.0, 2.0]),
    "validationFraction": st.sampled_from([0.0, 0.1, 0.5, 0.9]),
    "validationMetric": st.sampled_from(["loss", "rmse", "mae", "areaUnderROC", "logLoss", "f1"]),
    "numPartitions": st.sampled_from([0, 1, 2, 5]),
    "roundsPerEpoch": st.sampled_from([0, 1, 3]),
    "seed": st.sampled_from([0, 1, -5, 2**62]),
    "minFactorCount": st.sampled_from([0, 1, 2, 100]),
    "nonnegative": st.booleans(),
    "normalize": st.booleans(),
    "fitIntercept": st.booleans(),
    "fitLinear": st.booleans(),
    "explainCol": st.sampled_from(["parts", "label", "prediction"]),
    "handleInvalid": st.sampled_from(["error", "skip", "keep"]),
    "regParamByField": st.sampled_from([{}, {"user": 1.0}, {"user": -1.0}]),
}
regressor_params = params | {
    "predictionStdCol": st.sampled_from(["sd", "prediction"]),
    "numChains": st.sampled_from([1, 2, 3, 0]),
    "samplerFactorSize": st.sampled_from([0, 1, 5]),
}
ODD = ("nothing", "nothing", "values", "ids", "label", "weight", "held", "null", "empty")
WEIGHT, HELD = {"weightCol": "w"}, {"validationIndicatorCol": "held"}
WITH_COLUMNS = ({}, {}, WEIGHT, HELD, WEIGHT | HELD)


@st.composite
def cases(draw: Any) -> dict[str, Any]:
    """One fit: the estimator's name, its params, the kind of features, and rows."""
    binary = draw(st.booleans())
    known = params if binary else regressor_params
    names = draw(st.lists(st.sampled_from(sorted(known)), max_size=5, unique=True))
    chosen = {name: draw(known[name]) for name in names}
    # Most fits are short: what is looked for shows in the first epochs.
    chosen.setdefault("maxIter", 4)
    chosen.setdefault("factorSize", 2)
    kind = draw(st.sampled_from(sorted(TYPES)))
    odd = draw(
        st.sampled_from(["nothing", "nothing", "values", "ids", "label", "weight", "held", "null", "empty"])
    )
    count = draw(st.sampled_from([0, 1, 2, 3, 8, 24, 24, 40]))
    columns = draw(st.sampled_from(WITH_COLUMNS))
    chosen |= columns
    labels = draw(st.sampled_from(["usual", "constant", "huge", "tiny"]))
    held = draw(st.sampled_from(["some", "all", "none"]))
    rows = [
        _row(draw, kind, binary, labels, held, odd if i == count // 2 else "nothing") for i in range(count)
    ]
    slices = draw(st.sampled_from([1, 3]))
    return {"binary": binary, "params": chosen, "kind": kind, "rows": rows, "slices": slices}


def _row(draw: Any, kind: str, binary: bool, labels: str, held: str, odd: str) -> tuple[Any, ...]:
    wide = 1.0 if labels == "usual" or binary else {"constant": 0.0, "huge": 1e30, "tiny": 1e-30}[labels]
    label: Any = draw(st.sampled_from([0.0, 1.0])) * wide
    if binary and labels == "constant":
        label = 1.0
    if odd == "label":
        label = draw(odd_values)
    weight = draw(odd_values if odd == "weight" else st.sampled_from([0.0, 1.0, 1.0, 2.5, 1e-20]))
    mark = None if odd == "held" else {"all": True, "none": False, "some": draw(st.booleans())}[held]
    return _features(draw, kind, odd), label, weight, mark


def _features(draw: Any, kind: str, odd: str) -> Any:
    if odd == "null":
        return None
    count = 0 if odd == "empty" else draw(st.sampled_from([1, 2, 2, 3]))
    ids: list[Any] = sorted(
        draw(st.lists(st.integers(0, SIZE - 1), min_size=count, max_size=count, unique=True))
    )
    values: list[Any] = [draw(usual_values) for _ in ids]
    if odd == "values" and ids:
        values[0] = draw(odd_values)
    if odd == "ids":
        ids = [*ids, draw(st.one_of(odd_ids, st.integers(0, SIZE - 1)))]
        values.append(1.0)
    if kind == "vector":
        if odd == "ids":
            known = [i for i in ids if i is not None and abs(i) < 2**31]
            return unchecked(SIZE, known, [1.0] * len(known))
        return Vectors.sparse(SIZE, ids, [NAN if value is None else value for value in values])
    if kind == "ids":
        return [i if i is None or abs(i) < 2**31 else 2**31 - 1 for i in ids]
    if kind == "long ids":
        return ids
    if kind == "pairs":
        return ids, values
    dense = [0.0] * SIZE
    for i, value in zip(ids, values, strict=True):
        if i is not None and 0 <= i < SIZE:
            dense[i] = value
    return dense[: SIZE - 1] if odd == "ids" else dense
