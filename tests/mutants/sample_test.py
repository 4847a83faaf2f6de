"""The tests of a family of kernels kill a sample of the family's mutants.

Which mutants are drawn depends on their names alone, so an edit draws others only in the lines that it changes.
"""

from __future__ import annotations

from engine import Engine, sample

SEED = 1
MUTANTS = 4


def test_the_kernels_own_tests_kill_a_sample_of_mutants() -> None:
    engine = Engine()
    drawn = sample((found[0] for found in engine.sources.values()), SEED)[:MUTANTS]
    sources = [mutant.source for mutant in drawn]
    candidates = sample((mutant for source in sources for mutant in engine.sources[source]), SEED)
    each = MUTANTS // len(sources)
    outcomes = list(engine.examine_all(candidates, jobs=1, each=each))
    for outcome in outcomes:
        print(f"{outcome.kind}: {outcome.mutant}" + (f": {outcome.by}" if outcome.kind != "no build" else ""))
    built = [outcome for outcome in outcomes if outcome.kind != "no build"]
    assert len(built) == each * len(sources)
    survivors = [str(outcome.mutant) for outcome in built if outcome.kind == "survived"]
    assert not survivors, "no test notices these faults; tests/mutants/README.md says what to do:\n" + "\n".join(survivors)
