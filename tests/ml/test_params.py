import re

import pytest
from pyspark.ml.param import Params

from benchmarks.params import files
from spark_fm import FMClassifier, FMRegressor
from spark_fm.base.params import FMParams
from spark_fm.core.fm.fields import Field, FieldLayout
from spark_fm.engine.training.fit import SOLVERS

ESTIMATORS = [FMRegressor, FMClassifier]
INF, NAN = float("inf"), float("nan")

OUT_OF_RANGE = [
    ("factorSize", -1, "an integer >= 0"),
    ("maxIter", -1, "an integer >= 0"),
    ("stepSize", 0.0, "a finite number > 0"),
    ("stepSize", -0.1, "a finite number > 0"),
    ("stepSize", INF, "a finite number > 0"),
    ("stepSize", NAN, "a finite number > 0"),
    ("tol", -1e-9, "a finite number >= 0"),
    ("tol", NAN, "a finite number >= 0"),
    ("regParam", -0.1, "a finite number >= 0"),
    ("regParam", INF, "a finite number >= 0"),
    ("regParamLinear", -0.1, "a finite number >= 0"),
    ("regParamFactors", NAN, "a finite number >= 0"),
    ("regParamPrior", -1.0, "a finite number >= 0"),
    ("initStd", -0.1, "a finite number >= 0"),
    ("miniBatchFraction", 0.0, "a number in (0, 1]"),
    ("miniBatchFraction", 1.1, "a number in (0, 1]"),
    ("miniBatchFraction", NAN, "a number in (0, 1]"),
    ("patience", 0, "an integer >= 1"),
    ("validationFraction", -0.1, "a number in [0, 0.5]"),
    ("validationFraction", 0.6, "a number in [0, 0.5]"),
    ("numPartitions", -1, "an integer >= 0"),
    ("roundsPerEpoch", -1, "an integer >= 0"),
    ("solver", "lbfgs", "one of: adagrad"),
    ("handleInvalid", "drop", "one of: error, skip, keep"),
    ("minFactorCount", -1, "an integer >= 0"),
    ("explainTop", 0, "an integer >= 1"),
]

VALUES = {
    "featuresCol": "f", "labelCol": "l", "predictionCol": "p", "weightCol": "c", "validationIndicatorCol": "h",
    "factorSize": 5, "fitIntercept": False, "fitLinear": False, "regParam": 0.1, "regParamLinear": 0.2,
    "regParamFactors": 0.3, "regParamPrior": 0.7, "miniBatchFraction": 0.5, "initStd": 0.2,
    "maxIter": 7, "stepSize": 0.3,
    "tol": 0.01, "solver": "adagrad", "seed": 9, "patience": 2, "validationFraction": 0.25, "numPartitions": 3,
    "cacheDir": "c", "checkpointDir": "d", "checkpointInterval": 3, "keepOptimizerState": True,
    "roundsPerEpoch": 2, "normalize": True, "handleInvalid": "keep", "verbose": True, "validationMetric": "loss",
    "regParamByField": {"user": 2.0}, "minFactorCount": 3, "nonnegative": True, "explainCol": "w", "explainTop": 2,
}  # fmt: skip


@pytest.mark.parametrize(("name", "value", "expected"), OUT_OF_RANGE)
def test_value_out_of_range_is_refused_where_it_is_given(name, value, expected):
    sentence = f"{name}: found {value!r}, expected {expected}"
    setter = f"set{name[0].upper()}{name[1:]}"
    for give in (
        lambda: FMRegressor(**{name: value}),
        lambda: FMClassifier(**{name: value}),
        lambda: FMRegressor().setParams(**{name: value}),
        lambda: getattr(FMRegressor(), setter)(value),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            give()


@pytest.mark.parametrize(("name", "value", "expected"), OUT_OF_RANGE)
def test_value_out_of_range_in_a_param_map_is_refused(small, persisted, name, value, expected):
    before = persisted()
    estimator = FMRegressor()
    map_ = {estimator.getParam(name): value}
    with pytest.raises(ValueError, match=re.escape(f"{name}: found {value!r}, expected {expected}")):
        estimator.fit(small, map_)
    with pytest.raises(ValueError, match=re.escape(f"{name}: found {value!r}, expected {expected}")):
        estimator.fitMultiple(small, [{}, map_])
    assert persisted() == before


@pytest.mark.parametrize(
    ("name", "value"), [("maxIter", "many"), ("stepSize", "fast"), ("normalize", 1), ("maxIter", 2.5)]
)
def test_value_of_the_wrong_type_is_refused(name, value):
    with pytest.raises(TypeError, match=name):
        FMRegressor(**{name: value})


@pytest.mark.parametrize("value", [0.1, "path", [1]])
def test_initial_model_must_be_a_model(value):
    with pytest.raises(
        TypeError, match=r"initialModel: found \w+, expected a fitted Factorization Machine model"
    ):
        FMRegressor(initialModel=value)


SAMPLER_VALUES = {"samplerFactorSize": 4, "numChains": 3, "predictionStdCol": "d"}


def values_of(estimator):
    return VALUES | (SAMPLER_VALUES if estimator is FMRegressor else {})


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_param_can_be_given_in_every_way(estimator):
    for name, value in values_of(estimator).items():
        cap = name[0].upper() + name[1:]
        by_constructor = estimator(**{name: value})
        by_params = estimator().setParams(**{name: value})
        by_setter = getattr(estimator(), f"set{cap}")(value)
        for made in (by_constructor, by_params, by_setter):
            assert isinstance(made, estimator)
            assert made.isSet(name)
            assert getattr(made, f"get{cap}")() == value


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_no_param_is_left_out_of_the_tests_above(estimator):
    extra = {"initialModel", "probabilityCol", "rawPredictionCol", "thresholds"}
    assert {p.name for p in estimator().params} - extra == set(values_of(estimator))


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_getters_setters_and_constructors_are_those_of_the_params(path):
    assert path.read_text() == files()[path], "run make docs"


def test_every_param_is_explained():
    text = FMClassifier().explainParams()
    for param in FMClassifier().params:
        assert f"{param.name}: " in text
        assert len(param.doc) > 10
    assert all(solver in FMParams.solver.doc for solver in SOLVERS)


@pytest.mark.parametrize(
    ("given", "linear", "factors"),
    [
        ({}, 0.003, 0.01),
        ({"regParam": 0.3}, 0.3, 0.3),
        ({"regParam": 0.0}, 0.0, 0.0),
        ({"regParam": 0.3, "regParamLinear": 0.1}, 0.1, 0.3),
        ({"regParam": 0.3, "regParamFactors": 0.1}, 0.3, 0.1),
        ({"regParamLinear": 0.1, "regParamFactors": 0.2}, 0.1, 0.2),
    ],
)
def test_reg_param_takes_the_place_of_the_defaults_only(given, linear, factors):
    estimator = FMRegressor(**given)
    assert (estimator.getRegParamLinear(), estimator.getRegParamFactors()) == (linear, factors)
    settings = estimator._settings()
    assert (settings.reg_linear, settings.reg_factors) == (linear, factors)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, 0.3),
        ({"regParamLinear": 0.1, "regParamFactors": 0.2}, 0.3),
        ({"regParam": 0.0}, 0.0),
        ({"regParam": 0.1, "regParamPrior": 0.5}, 0.5),
    ],
)
def test_reg_param_takes_the_place_of_the_prior_too(given, expected):
    estimator = FMRegressor(**given)
    assert estimator.getRegParamPrior() == estimator._settings().reg_prior == expected


@pytest.mark.parametrize(("given", "adapts"), [({}, True), ({"regParamPrior": 0.3}, False)])
def test_prior_adapts_unless_it_is_set(given, adapts):
    assert FMRegressor(**given)._settings().adapt_prior is adapts


def test_settings_are_the_params():
    layout = FieldLayout((Field("item", 0, 3), Field("user", 3, 4)))
    settings = FMRegressor(**VALUES)._settings(layout)
    assert (settings.factor_size, settings.fit_intercept, settings.fit_linear) == (5, False, False)
    assert (settings.step_size, settings.init_std, settings.max_epochs) == (0.3, 0.2, 7)
    assert (settings.tol, settings.patience, settings.mini_batch_fraction, settings.seed) == (0.01, 2, 0.5, 9)
    assert (settings.min_factor_count, settings.nonnegative) == (3, True)
    assert settings.penalty_factors == ((3, 7, 2.0),)


@pytest.mark.parametrize("seed", [-1, -(2**63), 2**63 - 1])
def test_any_integer_is_a_seed(small, seed):
    assert FMRegressor(maxIter=1, seed=seed).fit(small).summary.totalIterations == 1


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_none_is_the_default(estimator, small):
    made = estimator(seed=None, weightCol=None, maxIter=1).setMaxIter(4)
    assert (made.isSet("seed"), made.isDefined("weightCol"), made.getSeed()) == (False, False, 0)
    assert made.setParams(maxIter=None).getMaxIter() == 100
    assert made.copy({made.seed: None}).getSeed() == 0
    assert estimator(seed=3).setSeed(None).getSeed() == 0


@pytest.mark.parametrize("solver", ["gd", "adamW"])
def test_solvers_of_spark_stand_for_ours(solver):
    with pytest.warns(
        UserWarning, match=f"solver: '{solver}' is one of pyspark.ml's; spark_fm trains with 'adagrad'"
    ):
        assert FMRegressor(solver=solver).getSolver() == "adagrad"


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_copy_has_its_own_params(estimator):
    original = estimator(maxIter=3)
    copied = original.copy({original.maxIter: 5, original.seed: 1})
    assert (copied.getMaxIter(), copied.getSeed()) == (5, 1)
    assert (original.getMaxIter(), original.isSet("seed")) == (3, False)
    assert copied.uid == original.uid


def test_model_copy_shares_the_parameters_and_has_its_own_params(planted_model):
    copied = planted_model.copy({planted_model.predictionCol: "p"})
    assert copied.weights is planted_model.weights
    assert copied.getPredictionCol() == "p"
    assert planted_model.getPredictionCol() == "prediction"
    assert copied.summary is planted_model.summary


def test_transform_takes_a_param_map(planted_model, small):
    found = planted_model.transform(small, {planted_model.predictionCol: "p"})
    assert found.columns == ["features", "label", "p"]


def test_fit_takes_a_param_map(small):
    estimator = FMRegressor(maxIter=1)
    model = estimator.fit(small, {estimator.factorSize: 3, estimator.predictionCol: "p"})
    assert model.weights.factors.shape[1] == 3
    assert model.getPredictionCol() == "p"
    assert estimator.getFactorSize() == 8


def test_fit_takes_a_list_of_param_maps(small):
    estimator = FMRegressor(maxIter=1)
    models = estimator.fit(small, [{estimator.factorSize: k} for k in (0, 2, 9)])
    assert [model.weights.factors.shape[1] for model in models] == [0, 2, 9]
    assert [model.getFactorSize() for model in models] == [0, 2, 9]


OF_FITS = {"initialModel", "cacheDir", "checkpointDir", "checkpointInterval", "keepOptimizerState"}


def test_model_knows_its_estimators_params(small):
    estimator = FMRegressor(
        maxIter=1, factorSize=3, predictionCol="p", normalize=True, stepSize=0.2, regParam=0.5
    )
    model = estimator.fit(small)
    for param in estimator.params:
        if param.name not in OF_FITS:
            getter = f"get{param.name[0].upper()}{param.name[1:]}"
            assert model.isSet(param.name) == estimator.isSet(param.name)
            if estimator.isDefined(param):
                assert getattr(model, getter)() == getattr(estimator, getter)()
    assert model.getRegParamFactors() == 0.5
    assert isinstance(model, Params)
    assert model.uid == estimator.uid
    assert (model.getFactorSize(), model.getPredictionCol(), model.getNormalize()) == (3, "p", True)
