"""How far the defaults stay behind tuned settings: no tuning should be needed before a model works.

python -m benchmarks.defaults --data FOLDER --sets sample ml-latest-small a9a ctr-0.4M context-0.4M

"Untuned" is a fit as a user makes it, on one partition: the number of epochs and the strength of the prior are chosen
on rows held out of the training rows. "Tuned" is the best of a grid of settings and epochs, chosen on the test rows
themselves, so it is what no honest tuning could beat within the grid.
"""

from itertools import product
from typing import Any

from benchmarks.common import parser, publish, show
from benchmarks.contenders import deciding_metric
from benchmarks.sets import DataSet, add_options, chosen_sets
from benchmarks.simulation import curve, fitted

EPOCHS = 40
PATIENCE = 3


def grid(args: Any) -> list[dict[str, float]]:
    """All settings to try."""
    names = ("step_size", "reg_factors", "reg_prior")
    return [
        dict(zip(names, values, strict=True)) for values in product(args.steps, args.factors, args.priors)
    ]


def compare(
    data: DataSet, settings: list[dict[str, float]]
) -> tuple[dict[str, object], list[dict[str, object]]]:
    """A row of the summary, and one for each setting."""
    untuned, epochs = fitted(data)
    tried: list[dict[str, object]] = []
    found = []
    for params in settings:
        metrics = curve(data, 1, EPOCHS, patience=PATIENCE, **params)
        best = min(metrics)
        found.append((best, params))
        tried.append({"data": data.name, **params, "best": best, "at epoch": 1 + metrics.index(best)})
        show(str(tried[-1]))
    tuned, params = min(found, key=lambda pair: pair[0])
    row: dict[str, object] = {
        "data": data.name,
        "metric": deciding_metric(data),
        "untuned": untuned,
        "epochs": epochs,
        "tuned": tuned,
        "from the tuned": f"{100 * (untuned / tuned - 1):+.2f} %",
        "tuned setting": ", ".join(f"{name} {value:g}" for name, value in params.items()),
    }
    show(str(row))
    return row, tried


def main() -> None:
    """Measure and publish."""
    options = parser(str(__doc__).splitlines()[0])
    add_options(options, ["sample", "ml-latest-small", "a9a", "context-100k"])
    options.add_argument("--steps", type=float, nargs="+", default=[0.05, 0.1, 0.2])
    options.add_argument(
        "--factors", type=float, nargs="+", default=[0.003, 0.01, 0.03], help="regParamFactors"
    )
    options.add_argument("--priors", type=float, nargs="+", default=[0.0, 0.1, 0.3], help="regParamPrior")
    args = options.parse_args()
    summary: list[dict[str, object]] = []
    tried: list[dict[str, object]] = []
    for data in chosen_sets(args):
        row, rows = compare(data, grid(args))
        summary.append(row)
        tried += rows
        publish("defaults", [("Untuned and tuned", summary), ("Settings", tried)], args.output)


if __name__ == "__main__":
    main()
