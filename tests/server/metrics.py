# SPDX-License-Identifier: MIT
"""Reads /metrics, strictly: Prometheus' text format, version 0.0.4."""
import re
from collections import namedtuple

# @labels is a sorted tuple of pairs, so that a sample can be looked up by what it is.
Sample = namedtuple("Sample", "name labels")
Family = namedtuple("Family", "kind help")

LINE = re.compile(r'([a-z0-9_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\\n]|\\["\\n])*)"')
ENDS = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}


def plain(text):
    """The value of a label without its escapes."""
    return re.sub(r"\\(.)", lambda at: {"n": "\n"}.get(at[1], at[1]), text)


class Scrape:
    """families: {name: Family}; samples: {Sample: number}."""

    def __init__(self, text):
        self.families, self.samples = {}, {}
        pending, family = None, None
        for line in text.splitlines():
            if line.startswith("# HELP "):
                pending = line[7:].split(" ", 1)
                assert len(pending) == 2 and pending[1], line
            elif line.startswith("# TYPE "):
                family, kind = line[7:].split(" ")
                assert pending[0] == family and family not in self.families, line
                self.families[family] = Family(kind, pending[1])
            else:
                self.add(line, family)

    def add(self, line, family):
        at = LINE.fullmatch(line)
        assert at, line
        ends = ENDS.get(self.families[family].kind, ("",))
        assert at[1] in [family + end for end in ends], f"{line} is not of {family}, which it follows"
        labels = [(name, plain(value)) for name, value in LABEL.findall(at[2] or "")]
        assert len(dict(labels)) == len(labels), line
        sample = Sample(at[1], tuple(sorted(labels)))
        assert sample not in self.samples, f"{line} is there twice"
        self.samples[sample] = float(at[3])

    def get(self, name, **labels):
        return self.samples[Sample(name, tuple(sorted(labels.items())))]

    def has(self, name, **labels):
        return Sample(name, tuple(sorted(labels.items()))) in self.samples

    def total(self, name, **labels):
        """The sum over all samples of @name that have these labels, and others."""
        return sum(value for sample, value in self.samples.items()
                   if sample.name == name and set(labels.items()) <= set(sample.labels))

    def growing(self):
        """{sample: value} of what must never decrease."""
        kinds = {name: family.kind for name, family in self.families.items()}
        kinds.update({name + end: kind for name, kind in list(kinds.items()) for end in ENDS.get(kind, ())})
        return {sample: value for sample, value in self.samples.items() if kinds[sample.name] != "gauge"}
