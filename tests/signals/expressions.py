"""PromQL of the supported subset: one of every function by hand, and any number made up."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

_OVER_TIME = (
    "rate increase delta irate idelta deriv changes resets avg_over_time sum_over_time min_over_time max_over_time"
    " count_over_time last_over_time present_over_time stdvar_over_time stddev_over_time absent_over_time"
).split()
_ELEMENTWISE = "abs ceil floor exp ln log2 log10 sqrt sgn sin cos tan deg rad".split()
_CALENDAR = "minute hour day_of_month day_of_week day_of_year days_in_month month year".split()
_AGGREGATIONS = "sum avg min max count group stdvar stddev".split()

EVERY_FUNCTION = [
    *(f'{name}(requests_total{{namespace="shop"}}[1m])' for name in _OVER_TIME),
    *(f"{name}(memory_bytes[95s])" for name in _OVER_TIME),
    *(f"{name}(memory_bytes)" for name in _ELEMENTWISE),
    *(f"{name}(latency_seconds_sum * 86400 * 1000)" for name in _CALENDAR),
    *(f"{name}()" for name in _CALENDAR),
    *(f"{name} by (namespace) (memory_bytes)" for name in _AGGREGATIONS),
    *(f"{name} without (pod) (requests_total)" for name in _AGGREGATIONS),
    *(f"{name}(latency_seconds_sum)" for name in _AGGREGATIONS),
    "predict_linear(memory_bytes[2m], 60)",
    "quantile_over_time(0.9, memory_bytes[2m])",
    "quantile_over_time(-1, memory_bytes[2m])",
    "quantile by (namespace) (0.5, latency_seconds_sum)",
    "topk(2, latency_seconds_sum)",
    "bottomk by (namespace) (1, latency_seconds_sum)",
    'count_values("value", limit_bytes)',
    "histogram_quantile(0.99, sum by (namespace, pod, le) (rate(latency_seconds_bucket[1m])))",
    "histogram_quantile(0.5, rate(latency_seconds_bucket[30s]))",
    "histogram_quantile(2, latency_seconds_bucket)",
    "histogram_quantile(0, latency_seconds_bucket)",
    "rate(latency_seconds_sum[1m]) / rate(latency_seconds_count[1m])",
    "memory_bytes / on (namespace, pod) limit_bytes",
    "memory_bytes / ignoring (resource) limit_bytes > 0.5",
    "memory_bytes * on (namespace, pod) group_left (node) pod_info",
    "pod_info * on (namespace, pod) group_right (node) memory_bytes",
    "memory_bytes > bool 10",
    "memory_bytes == 25 or limit_bytes",
    "latency_seconds_sum and on (pod) requests_total",
    "latency_seconds_sum unless on (namespace, pod) requests_total",
    "requests_total * on (namespace) pod_info",
    "requests_total * on (namespace, pod) pod_info",
    'label_replace(memory_bytes, "short", "$1-x", "pod", "web-(.*)")',
    'label_join(memory_bytes, "both", "/", "namespace", "pod")',
    "absent(memory_bytes)",
    'absent(nothing{a="b", c=~"d"})',
    'absent_over_time(nothing{a="b"}[5m])',
    "clamp(memory_bytes, 5, 11)",
    "clamp_min(memory_bytes, 12)",
    "clamp_max(memory_bytes, 12)",
    "clamp(memory_bytes, 12, 5)",
    "round(memory_bytes)",
    "round(memory_bytes, 0.5)",
    "timestamp(memory_bytes)",
    "timestamp(abs(memory_bytes))",
    "vector(3)",
    "scalar(limit_bytes)",
    'scalar(limit_bytes{pod="web-0",namespace="shop"})',
    "time()",
    "pi()",
    "1 / 0",
    "-5 % 3",
    "2 ^ 0.5",
    "1 atan2 2",
    "-memory_bytes",
    "5 > bool 3",
    "sort(latency_seconds_sum)",
    "sort_desc(latency_seconds_sum)",
    "max_over_time(rate(requests_total[30s])[2m:15s])",
    "sum_over_time(sum(memory_bytes)[1m:])",
    "min_over_time((memory_bytes > 9)[1m:10s] offset 20s)",
    "memory_bytes offset 45s",
    "rate(requests_total[1m] offset 1m)",
    "rate(requests_total[1m] @ start())",
    "memory_bytes @ end()",
    "memory_bytes offset -20s",
    'sum({__name__=~"memory_bytes|limit_bytes"})',
    'rate({__name__=~"latency_seconds_(count|sum)"}[1m])',
    '{namespace!="shop",pod=~"web-[01]",__name__!~"latency.*"}',
    'requests_total{code=~"5.."}',
    'requests_total{nosuch=""}',
    'requests_total{nosuch!=""}',
    'sum(rate(requests_total{code=~"5.."}[1m])) / sum(rate(requests_total[1m]))',
    "memory_bytes[30s]",
    '"text"',
    "requests_total{",
    "rate(memory_bytes)",
    "sum(nosuch(memory_bytes))",
    "",
]

_SELECTORS = st.sampled_from(
    [
        "requests_total",
        'requests_total{namespace="shop"}',
        'requests_total{code!~"2..|4.."}',
        "memory_bytes",
        'memory_bytes{pod=~"web-[02]"}',
        "limit_bytes",
        "pod_info",
        "latency_seconds_sum",
        "latency_seconds_count",
        'latency_seconds_bucket{le="0.5"}',
        "nothing",
    ]
)
_RANGES = st.sampled_from(["10s", "20s", "35s", "1m", "2m", "5m"])
_OFFSETS = st.sampled_from(["", "", "", " offset 30s", " offset 2m", " offset -15s"])
_LABELS = st.lists(st.sampled_from(["namespace", "pod", "code", "node", "le"]), max_size=3, unique=True).map(", ".join)
_NUMBERS = st.sampled_from(["0", "1", "-1", "2", "0.5", "1e3", "Inf", "NaN", "10"])


@dataclass(frozen=True, slots=True)
class Case:
    text: str
    at_seconds: float
    step_seconds: float


def _vectors() -> st.SearchStrategy[str]:
    plain = st.builds("{}{}".format, _SELECTORS, _OFFSETS)
    over_time = st.builds("{}({}[{}]{})".format, st.sampled_from(_OVER_TIME), _SELECTORS, _RANGES, _OFFSETS)
    ranked = st.builds("predict_linear({}[{}], {})".format, _SELECTORS, _RANGES, _NUMBERS)
    quantiles = st.builds("quantile_over_time({}, {}[{}])".format, _NUMBERS, _SELECTORS, _RANGES)
    return st.recursive(st.one_of(plain, over_time, over_time, ranked, quantiles), _nested, max_leaves=5)


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    grouping = st.builds(" {} ({}) ".format, st.sampled_from(["by", "without"]), _LABELS)
    matching = st.builds(" {} ({}) ".format, st.sampled_from(["on", "ignoring"]), _LABELS)
    arithmetic = st.sampled_from(["+", "-", "*", "/", "%", "^", "atan2"])
    comparison = st.sampled_from(["==", "!=", ">", "<", ">=", "<="])
    sets = st.sampled_from(["and", "or", "unless"])
    return st.one_of(
        st.builds("{}{}({})".format, st.sampled_from(_AGGREGATIONS), st.one_of(st.just(""), grouping), inner),
        st.builds("quantile{}({}, {})".format, grouping, _NUMBERS, inner),
        st.builds("{}({})".format, st.sampled_from([*_ELEMENTWISE, "timestamp", "absent", "sort"]), inner),
        st.builds("({} {} {})".format, inner, st.one_of(arithmetic, comparison), _NUMBERS),
        st.builds("({} {} {})".format, _NUMBERS, st.one_of(arithmetic, comparison), inner),
        st.builds("({} {} bool {})".format, inner, comparison, inner),
        st.builds("({} {}{}{})".format, inner, st.one_of(arithmetic, comparison), matching, inner),
        st.builds("({} {} {})".format, inner, st.one_of(arithmetic, comparison), inner),
        st.builds(
            "(sum by (namespace, pod) ({}) {} on (namespace, pod) {}({}))".format,
            inner,
            st.one_of(arithmetic, comparison),
            st.sampled_from(["", "", "group_right ", "group_right (node) "]),
            inner,
        ),
        st.builds("({} {}{}group_left ({}) {})".format, inner, arithmetic, matching, st.just("node"), inner),
        st.builds("({} {}{}{})".format, inner, sets, st.one_of(st.just(" "), matching), inner),
        st.builds("-{}".format, inner),
        st.builds(
            "{}(({})[{}:{}]{})".format,
            st.sampled_from([name for name in _OVER_TIME if name != "absent_over_time"]),
            inner,
            st.sampled_from(["1m", "90s"]),
            st.sampled_from(["10s", "25s"]),
            _OFFSETS,
        ),
        st.builds("histogram_quantile({}, sum by (le, {}) (rate(latency_seconds_bucket[{}])))".format,
                  st.sampled_from(["0.5", "0.9", "0.99"]), st.sampled_from(["pod", "namespace"]), _RANGES),
        st.builds('label_replace({}, "pod", "$1", "{}", "(.+?)-?[0-9]*")'.format, inner,
                  st.sampled_from(["pod", "namespace", "nosuch"])),
        st.builds("scalar({}) + {}".format, inner, inner),
    )  # fmt: skip


def queries() -> st.SearchStrategy[Case]:
    """Expressions with when to ask."""
    return st.builds(
        Case,
        _vectors(),
        st.integers(100_000, 700_000).map(lambda ms: ms / 1000),
        st.sampled_from([5.0, 15.0, 7.3, 60.0]),
    )
