#!/usr/bin/env python3
"""Writes what tests/gpu.sh measured: gpu-results.json with all figures, gpu-results.md for people.

Reads in --build: benchmarks.json (Google Benchmark), tests.xml (ctest's JUnit file), model-*.json (`orrery bench
--json`, and hooks_bench.py's) and model-*.bytes (a model's size); what is missing is left out.
"""

import argparse
import datetime
import glob
import json
import os
import xml.etree.ElementTree


def read_benchmarks(path):
    """One entry per timed operation; rates per second, seconds per operation."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        try:
            report = json.load(file)
        except ValueError:  # stopped before its end
            return []
    operations = []
    for timed in report["benchmarks"]:
        backend, operation, shape, dtype, *level = timed["name"].removesuffix("/real_time").split("/")
        entry = {"backend": backend, "operation": operation, "shape": shape, "dtype": dtype}
        if level:
            entry["level"] = level[0]
        if timed.get("error_occurred"):
            entry["error"] = timed["error_message"]
        else:
            entry["seconds"] = 1.0 / timed["items_per_second"]
            entry["bytes_per_s"] = timed["bytes_per_second"]
            if "FLOP/s" in timed:
                entry["flop_per_s"] = timed["FLOP/s"]
        operations.append(entry)
    return operations


def read_tests(path):
    if not os.path.exists(path):
        return None
    cases = list(xml.etree.ElementTree.parse(path).getroot().iter("testcase"))
    left_out = ("notrun", "disabled")
    skipped = [case for case in cases if case.get("status") in left_out or case.find("skipped") is not None]
    failed = [case for case in cases if case.find("failure") is not None or case.get("status") == "fail"]
    failed = [case for case in failed if case not in skipped]
    return {
        "passed": len(cases) - len(skipped) - len(failed),
        "failed": len(failed),
        "skipped": len(skipped),
        "failures": sorted(case.get("name") for case in failed),
    }


def read_models(pattern):
    models = []
    for path in sorted(glob.glob(pattern)):
        with open(path, encoding="utf-8") as file:
            model = json.load(file)
        size = path.removesuffix("json") + "bytes"
        if os.path.exists(size):
            with open(size, encoding="utf-8") as file:
                model["file_bytes"] = int(file.read())
        models.append(model)
    return models


def text_table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def rate(value, unit):
    return f"{value / unit:.1f}" if value >= 10 * unit else f"{value / unit:.2f}"


def copy_rates(operations):
    """By backend: bytes read and written per second, the memory's ceiling."""
    return {o["backend"]: o["bytes_per_s"] for o in operations if o["operation"] == "copy" and "error" not in o}


def operation_rows(operations):
    """On the device beside the CPU, with the share of what the same run copied."""
    copies = copy_rates(operations)
    key = lambda o: (o["operation"], o["shape"], o["dtype"], o.get("level", ""))
    on_cpu = {key(o): o for o in operations if o["backend"] == "cpu"}
    rows = []
    for o in (o for o in operations if o["backend"] != "cpu"):
        name = list(key(o))
        if "error" in o:
            rows.append(name + [o["error"], "", "", "", ""])
            continue
        peer = on_cpu.get(key(o), {})
        copied = copies.get(o["backend"])
        rows.append(
            name
            + [
                f"{o['seconds'] * 1e6:.1f}",
                rate(o["bytes_per_s"], 1e9),
                f"{100 * o['bytes_per_s'] / copied:.0f} %" if copied else "",
                rate(o["flop_per_s"], 1e12) if "flop_per_s" in o else "",
                f"{peer['seconds'] * 1e6:.1f}" if "seconds" in peer else "",
            ]
        )
    return rows


def model_rows(models, operations):
    """Decoding reads every weight once per token: its share of what the same run copied."""
    copied = copy_rates(operations).get("cuda")
    rows = []
    for model in models:
        decoded = model["decode_tokens_per_s"]
        unrecorded = decoded.get("off", next(iter(decoded.values())))
        size = model.get("file_bytes")
        for level, prefill in model["prefill_tokens_per_s"].items():
            decode = decoded[level]
            rows.append(
                [
                    model["model"],
                    str(model["prompt_tokens"]),
                    level,
                    f"{prefill:.0f}",
                    f"{decode:.1f}",
                    f"{1000 / decode:.2f}",
                    f"{100 * decode * size / copied:.0f} %" if copied and size else "",
                    f"{100 * (unrecorded / decode - 1):.1f} %",
                ]
            )
    return rows


def text_of(results):
    parts = [
        "# On a CUDA device\n",
        f"{results['device']}, driver {results['driver']}, CUDA {results['cuda']}; commit {results['commit']}, "
        f"{results['date']}. Written by `tests/gpu.sh`; all figures are in gpu-results.json.\n",
        "*Of copying*: the bytes of weights, or of keys and values, read per second, as a share of those that a copy on "
        "the device read and wrote in the same run.\n",
    ]
    tests = results["tests"]
    if tests is None:
        parts.append("The tests did not end in time.\n")
    else:
        parts.append(f"Tests: {tests['passed']} passed, {tests['failed']} failed, {tests['skipped']} skipped.\n")
        parts += [f"- failed: {name}\n" for name in tests["failures"]]
    if results["models"]:
        head = ["Model", "Prompt", "Recording", "Prefill, tokens/s", "Decode, tokens/s", "ms a token"]
        head += ["of copying", "Slower by"]
        parts += ["## Models\n", text_table(head, model_rows(results["models"], results["operations"])) + "\n"]
    if results["operations"]:
        head = ["Operation", "Shape", "Dtype", "Recording", "µs", "GB/s", "of copying", "TFLOP/s", "CPU, µs"]
        parts += ["## Operations\n", text_table(head, operation_rows(results["operations"])) + "\n"]
    return "\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("build", "results", "device", "driver", "cuda", "commit"):
        parser.add_argument("--" + name, required=True)
    options = parser.parse_args()
    results = {
        "device": options.device,
        "driver": options.driver,
        "cuda": options.cuda,
        "commit": options.commit,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "tests": read_tests(os.path.join(options.build, "tests.xml")),
        "models": read_models(os.path.join(options.build, "model-*.json")),
        "operations": read_benchmarks(os.path.join(options.build, "benchmarks.json")),
    }
    with open(options.results + ".json", "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
        file.write("\n")
    with open(options.results + ".md", "w", encoding="utf-8") as file:
        file.write(text_of(results))


if __name__ == "__main__":
    main()
