"""What the benchmarks make of their figures."""

import pytest

from benchmarks import image_start, site_lost, sites_speed
from benchmarks.storage_report import (
    INFN,
    OURS,
    RANDOM_WRITE,
    S3FS,
    Memory,
    Outcome,
    Speed,
    lines,
    verdict,
)

MODEST = Memory(idle=25 * 10**6, among=5, peaks={OURS: 150 * 10**6, INFN: 300 * 10**6})


def outcome(group: str = "", **speeds: list[float]) -> Outcome:
    names = {"ours": OURS, "infn": INFN, "s3fs": S3FS}
    found = {names[key]: [Speed(value) for value in values] for key, values in speeds.items()}
    return Outcome("row", "IOPS", group, found)


def test_a_line_has_medians_and_ratios() -> None:
    (line,) = lines(outcome(ours=[100, 300, 200], infn=[100, 100, 1], s3fs=[400]))
    assert line.split() == ["row", "IOPS", "200", "100", "2.00", "400", "0.50"]


def test_what_is_written_has_a_second_line() -> None:
    written = Outcome("row", "IOPS", "", {OURS: [Speed(10, 5)], INFN: [Speed(4, 4)]})
    first, second = lines(written)
    assert first.split() == ["row", "IOPS", "10", "4", "2.50", "cannot"]
    assert second.split() == ["until", "it", "is", "in", "S3", "IOPS", "5", "4", "1.25", "cannot"]


def test_who_cannot_do_a_row_is_named_with_the_reason() -> None:
    row = outcome(ours=[1])
    row.cannot[INFN] = "Illegal seek"
    assert list(lines(row))[1].split() == ["rclone", "mount", "cannot:", "Illegal", "seek"]


def test_targets_hold() -> None:
    said = verdict([outcome(RANDOM_WRITE, ours=[10]), outcome(ours=[10], infn=[9])], MODEST)
    assert [line.rsplit(": ")[-1] for line in said] == ["holds"] * 3


def test_targets_that_do_not_hold_are_named() -> None:
    slow = outcome(RANDOM_WRITE, ours=[9], infn=[10])
    large = Memory(idle=40 * 10**6, among=5, peaks={OURS: 200 * 10**6})
    said = [line.rsplit(": ")[-1] for line in verdict([slow], large)]
    assert said == ["not in row 0.90", "not in row 0.90", "not in idle 40 MB, peak 200 MB"]


def test_a_row_that_ours_cannot_do_is_no_success() -> None:
    failed = outcome(RANDOM_WRITE, infn=[10])
    failed.cannot[OURS] = "Permission denied"
    said = [line.rsplit(": ")[-1] for line in verdict([failed], MODEST)]
    assert said == ["not in row, which it cannot do", "not in row, which it cannot do", "holds"]


def test_the_start_of_the_image_is_a_ratio_of_medians() -> None:
    fast = list(image_start.report([(0.5, 1.0), (0.4, 2.0), (9.0, 2.0)]))
    assert fast[1].split()[-1] == "0.25"
    assert fast[2].endswith("holds")
    slow = list(image_start.report([(1.0, 1.0)]))
    assert slow[2].endswith("not: 1.00")


WRK = """Running 5s test @ http://127.0.0.1:20018/user/ada/api
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     8.35ms    2.10ms  40.03ms   90.12%
  Latency Distribution
     50%  850.00us
     75%    8.80ms
     90%    9.93ms
     99%    1.50s
  9540 requests in 5.00s, 2.98MB read
Requests/sec:   1907.31
Transfer/sec:    610.41KB
"""


def test_what_wrk_says_is_in_milliseconds() -> None:
    found = sites_speed.parse(WRK)
    assert (found.rate, found.median, found.slowest) == (1907.31, 0.85, 1500)


def test_answers_that_are_none_are_no_speed() -> None:
    with pytest.raises(ValueError, match="Non-2xx or 3xx responses: 12"):
        sites_speed.parse(WRK + "  Non-2xx or 3xx responses: 12\n")


@pytest.mark.parametrize(("rate", "verdict"), [(800, "holds, 0.80"), (700, "not, 0.70")])
def test_the_way_through_two_traefiks_is_a_ratio_of_rates(rate: float, verdict: str) -> None:
    said = list(sites_speed.report([(sites_speed.Load(rate, 2, 9), sites_speed.Load(1000, 1, 5))]))
    assert said[1].endswith(f"{rate} requests/s, latency 2.0 ms, 99 of 100 within 9.0 ms")
    assert said[-1] == f"target, ratio of the rates 0.8 or more: {verdict}"


def test_the_slowest_loss_of_a_site_counts() -> None:
    said = list(site_lost.report([(1, 9), (2, 10), (40, 50)]))
    assert said[1].endswith(" 2.0 (40.0)")
    assert said[-1].endswith("in 30 s: not: 40.0")
    assert list(site_lost.report([(1, 9)]))[-1].endswith("holds")
