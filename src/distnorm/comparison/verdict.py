"""What a comparison says to do: which method, what it asks of an index, and the next command.

Methods fall into three kinds by what serving them takes: ``no re-index`` changes the query vector
alone, ``with biases`` keeps one number per item beside the index, ``auto`` chooses among both and
takes what its choice takes; what remains (``other``) needs new item vectors or a rule for each
query. A gain counts if its 95 % interval lies above 0; of several gains the largest is named. What
takes more than a change of the query is worth it if it gains more than the best change of the
query by more than noise, the wider of the two intervals' halves.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from distnorm.methods.registry import find_method
from distnorm.system.records import plain_fields

if TYPE_CHECKING:
    from distnorm.comparison.results import MethodResult, MetricSummary

__all__ = ["KINDS", "Candidate", "Verdict", "judge", "method_text"]

KINDS = ("no re-index", "with biases", "auto", "other")
_MAIN = ("image_retrieval_recall@", "text_retrieval_recall@", "acc1", "kendall_tau_c")


@dataclass(frozen=True)
class Candidate:
    """The best method of a kind by one metric, and its difference to the dot product."""

    method: str  # as ``--method`` takes it
    kind: str
    delta: float
    ci95: tuple[float, float]
    outcome: str  # "gain", "noise" or "loss" (an interval below 0)
    chosen: str | None = None  # what `auto` chose most often for these queries
    takes: str = ""  # the kind of that, else its own
    worth: bool = True  # nothing that takes less gains as much but for noise
    transductive: bool = False  # whether rows that it was fitted on were evaluated

    @property
    def gains(self) -> bool:
        """Whether it is better than the dot product beyond noise."""
        return self.outcome == "gain"

    def to_dict(self) -> dict[str, Any]:
        """For JSON; whether it is transductive if it is."""
        values = plain_fields(self)
        if not self.transductive:
            del values["transductive"]
        return values


@dataclass(frozen=True)
class Verdict:
    """What to do after a comparison.

    Attributes
    ----------
    metrics : mapping from metric to sequence of Candidate
        For the main metrics, the best method of each kind, in the order of `KINDS`.
    recommended : str
        A method as ``--method`` takes it; "dot" is to leave everything as it is.
    reason : str
        "gain"; "noise" if no method gains for sure; "loss" if all are below the dot product.
    next : tuple of str
        Commands that put it to use; the first fits it.
    """

    metrics: Mapping[str, Sequence[Candidate]]
    recommended: str
    reason: str
    next: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return plain_fields(self)


def judge(
    task: str,
    results: Sequence[MethodResult],
    images: str = "IMAGES",
    texts: str = "TEXTS",
    sides: Sequence[str] | None = None,
) -> Verdict | None:
    """The verdict on a comparison's results, the dot product first; None without another method.

    The largest gain by a change of the query is recommended, `auto` among the others, before
    biases: it asks nothing of the index. ``images`` and ``texts`` name the data in the commands,
    ``sides`` are those of other names than image and text.
    """
    metrics = {
        name: found
        for name in _main_metrics(results[0].metrics)
        if (found := _candidates(name, results))
    }
    if not metrics:
        return None
    flat = [candidate for found in metrics.values() for candidate in found]
    # Of the first metric that has a gain: text to image, which is what a search does.
    gaining = next(
        (gains for found in metrics.values() if (gains := [c for c in found if c.gains])), []
    )
    if not gaining:
        reason = "noise" if any(candidate.delta > 0 for candidate in flat) else "loss"
        return Verdict(metrics, "dot", reason, ())
    # The largest gain of those that take least.
    least = next(kind for kind in (*KINDS[:2], KINDS[3]) if any(c.takes == kind for c in gaining))
    best = max((c for c in gaining if c.takes == least), key=lambda c: c.delta)
    data = f"--images {shlex.quote(images)} --texts {shlex.quote(texts)}"
    if sides is not None:
        data = f"--first {shlex.quote(images)} --second {shlex.quote(texts)}"
        data += f" --sides {shlex.quote(','.join(sides))}"
    commands = [_fit(best.method, data)]
    more = [c for c in gaining if c.takes == KINDS[1] != best.takes and c.worth]
    if task == "retrieval":
        commands += _serving(best)
    if task == "retrieval" and more:
        biased = max(more, key=lambda c: c.delta)
        commands += [_fit(biased.method, data), *_serving(biased)]
    return Verdict(metrics, best.method, "gain", tuple(commands))


def method_text(result: MethodResult) -> str:
    """A method as ``--method`` takes it: ``dn2@0.5:rank=3``; "auto" has no strength."""
    spec = find_method(result.method)
    text = result.method
    values = set(result.strength.values())
    if len(values) == 1 and not spec.chooses and spec.corrects:
        text += f"@{values.pop():g}"
    own = {
        key: value
        for key, value in result.params.items()
        if key in spec.params and value is not None and value != spec.params[key]
    }
    own |= {key: value for key, value in result.params.items() if key in ("weights", "prior")}
    return text + (":" + ",".join(f"{k}={v}" for k, v in own.items()) if own else "")


def _main_metrics(metrics: Mapping[str, Any]) -> list[str]:
    """One metric for each direction or task, with the smallest k."""
    found = []
    for prefix in _MAIN:
        names = [name for name in metrics if name.startswith(prefix)]
        if names:
            found.append(min(names, key=lambda name: int(name.partition("@")[2] or 0)))
    return found


def _candidates(metric: str, results: Sequence[MethodResult]) -> list[Candidate]:
    """The best method of each kind."""
    best: dict[str, Candidate] = {}
    for result in results[1:]:
        summary = result.metrics[metric]
        if summary.delta_ci95 is None:
            continue
        kind = _kind(result.method)
        if kind not in best or summary.delta > best[kind].delta:
            chosen = _chosen(result, metric)
            text, seen = method_text(result), result.transductive
            takes = _kind(chosen) if chosen else KINDS[1] if kind == "auto" else kind
            best[kind] = Candidate(
                text,
                kind,
                summary.delta,
                summary.delta_ci95,
                _outcome(summary),
                chosen,
                takes,
                transductive=seen,
            )
    return _weighed([best[kind] for kind in KINDS if kind in best])


def _weighed(found: list[Candidate]) -> list[Candidate]:
    """The same, with whether each is worth what it takes beyond a change of the query."""
    light = [c for c in found if c.takes == KINDS[0] and c.gains]
    least = max(light, key=lambda c: c.delta, default=None)

    def ahead(candidate: Candidate) -> bool:
        if least is None or not candidate.gains:
            return candidate.gains
        noise = max((c.ci95[1] - c.ci95[0]) / 2 for c in (candidate, least))
        return candidate.delta - least.delta > noise

    return [c if c.takes == KINDS[0] else replace(c, worth=ahead(c)) for c in found]


def _outcome(summary: MetricSummary) -> str:
    if not summary.significant:
        return "noise"
    return "gain" if summary.delta > 0 else "loss"


def _kind(name: str) -> str:
    spec = find_method(name)
    if spec.chooses:
        return "auto"
    if spec.shifts_queries:
        return "no re-index"
    return "with biases" if spec.has_item_bias else "other"


def _chosen(result: MethodResult, metric: str) -> str | None:
    """What ``auto`` chose in most splits for the queries of a metric."""
    sides = list(result.params.get("chosen", {}))
    if not sides:
        return None
    side = sides[-1] if metric.startswith("image_retrieval") else sides[0]
    return str(next(iter(result.params["chosen"][side])))


def _fit(method: str, data: str) -> str:
    return f"distnorm fit {data} --method {shlex.quote(method)} --out {_file(method)}"


def _serving(candidate: Candidate) -> list[str]:
    """How a fitted method is searched with."""
    name = _file(candidate.method)
    if candidate.takes == "with biases":
        return [f"distnorm index bias SPEC --normalization {name}"]
    if candidate.takes == "no re-index":
        return [f"distnorm export {name} --format json"]
    return []


def _file(method: str) -> str:
    plain = method.partition("@")[0].partition(":")[0].replace("*", "-star")
    return f"{plain}.safetensors"
