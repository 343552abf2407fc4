"""The layout search: the front is a front, every loser lost for the reason given, and what was asked is kept."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.estimators.errors import DoesNotFit, InputError
from flopwise.estimators.facts.catalog import load_catalog
from flopwise.estimators.frozen import replace
from flopwise.estimators.memory.training import training_memory
from flopwise.estimators.models.resolve import resolve_model
from flopwise.estimators.planning.layouts import SLOWEST, option_of, search_layouts, time_layouts
from flopwise.estimators.training.candidates import USUAL, WIDE, candidates
from flopwise.estimators.training.choose import SAFE_PROBABILITY, Clock, Wanted, choose_layout
from flopwise.estimators.training.job import Job, answer
from flopwise.estimators.training.layout import Recipe, Recompute, Workload, Zero

CATALOG = load_catalog()
H100 = CATALOG.find("h100-sxm-80gb")
RECIPE = Recipe()
JOBS = (  # model, chip, count, sequence, batch
    ("llama-3-8b", "h100-sxm-80gb", 8, 8192, 64),
    ("llama-3-8b", "a100-sxm-80gb", 24, 4096, 96),
    ("llama-3-70b", "h100-sxm-80gb", 256, 8192, 256),
    ("llama-3-70b", "tpu-v5p", 128, 8192, 256),
    ("mixtral-8x7b", "h100-sxm-80gb", 32, 4096, 64),
    ("gpt2", "a100-sxm-80gb", 8, 1024, 256),
    ("gpt2", "h100-sxm-80gb", 1, 1024, 64),
)
WISHES = (
    Wanted(),
    Wanted(tp=1),
    Wanted(zero=Zero.PARAMETERS, pp=1),
    Wanted(micro_batch=1),
    Wanted(recompute=Recompute.FULL),
)


@cache
def clock_of(job):
    model, chip, _, sequence, batch = job
    workload = Workload(sequence_tokens=sequence, global_batch=batch)
    return Clock(resolve_model(model).shape, CATALOG.find(chip), workload)


@cache
def search(job, wanted=WISHES[0]):
    return search_layouts(accelerators=job[2], recipe=RECIPE, clock=clock_of(job), wanted=wanted)


def memory_of(job, option):
    clock = clock_of(job)
    return training_memory(
        clock.shape,
        layout=option.layout,
        recipe=replace(RECIPE, recompute=option.recompute),
        workload=clock.workload,
        accelerator=clock.accelerator,
    )


@pytest.mark.parametrize("job", JOBS, ids=lambda job: f"{job[0]}-{job[1]}-{job[2]}")
def test_nothing_that_fits_is_both_faster_and_leaner_than_a_layout_of_the_front(job):
    front = search(job).front
    for quick, lean in pairwise(front):
        assert quick.seconds < lean.seconds
        assert quick.needed_bytes > lean.needed_bytes
    assert all(option.probability_of_running_out <= SAFE_PROBABILITY for option in front)
    assert all(option.seconds <= SLOWEST * front[0].seconds for option in front)


@settings(max_examples=40)
@given(data=st.data())
def test_any_candidate_that_fits_is_on_the_front_or_beaten_by_it(data):
    job = data.draw(st.sampled_from(JOBS))
    clock, found = clock_of(job), search(job)
    every = list(candidates(clock.shape, clock.accelerator, job[2], clock.workload, Wanted(), WIDE))
    layout, recompute = data.draw(st.sampled_from(every))
    recipe = replace(RECIPE, recompute=recompute)
    seconds = clock.seconds(layout, recipe)
    memory = training_memory(
        clock.shape, layout=layout, recipe=recipe, workload=clock.workload, accelerator=clock.accelerator
    )
    if memory.probability_of_running_out <= SAFE_PROBABILITY and seconds <= SLOWEST * found.fastest.seconds:
        assert any(
            option.seconds <= seconds * (1 + 1e-9) and option.needed_bytes <= memory.needed_bytes
            for option in found.front
        )


@pytest.mark.parametrize("job", JOBS, ids=lambda job: f"{job[0]}-{job[1]}-{job[2]}")
def test_every_reason_of_a_loser_is_true(job):
    found, clock = search(job), clock_of(job)
    assert found.losers
    for loser in found.losers:
        option, winner = loser.option, loser.beaten_by
        memory = memory_of(job, option)
        recipe = replace(RECIPE, recompute=option.recompute)
        assert option.needed_bytes == memory.needed_bytes
        assert option.seconds == clock.seconds(option.layout, recipe)
        if winner is None:
            assert memory.probability_of_running_out > SAFE_PROBABILITY
            assert option.seconds < found.fastest.seconds
            continue
        assert winner in found.front
        assert memory.needed_bytes >= winner.needed_bytes
        assert loser.slower == pytest.approx(option.seconds / winner.seconds - 1)
        assert option.seconds >= winner.seconds
        theirs, ours = (
            {part.name: part.seconds for part in clock.time(each.layout, again).parts}
            for each, again in ((winner, replace(RECIPE, recompute=winner.recompute)), (option, recipe))
        )
        assert loser.part_seconds == pytest.approx(ours[loser.part] - theirs.get(loser.part, 0.0))
        assert loser.part_seconds * len(ours) >= option.seconds - winner.seconds - 1e-9  # no small part is blamed


@pytest.mark.parametrize("job", JOBS, ids=lambda job: f"{job[0]}-{job[1]}-{job[2]}")
@pytest.mark.parametrize("wanted", WISHES, ids=str)
def test_the_search_is_never_slower_than_what_train_chooses_under_the_same_wishes(job, wanted):
    try:
        choice = choose_layout(accelerators=job[2], recipe=RECIPE, wanted=wanted, clock=clock_of(job))
    except DoesNotFit:
        pytest.skip("nothing usual fits")
    found = search(job, wanted)
    assert found.fastest.seconds <= clock_of(job).seconds(choice.layout, choice.recipe)
    for option in (*found.front, *(loser.option for loser in found.losers)):
        for name in ("tp", "pp", "zero", "micro_batch"):
            assert getattr(wanted, name) in (None, getattr(option.layout, name))
        assert wanted.recompute in (None, option.recompute)


def test_what_train_chose_heads_the_beaten_unless_it_is_on_the_front():
    job = Job(
        shape=resolve_model("llama-3-70b").shape,
        tokens=1e12,
        accelerator=H100,
        sequence_tokens=8192,
        recipe=RECIPE,
        global_batch=512,
    )
    found = answer(job, 512)
    chosen = option_of(found)
    result = search_layouts(accelerators=512, recipe=RECIPE, clock=found.clock, chosen=chosen)
    beaten = [loser.option for loser in result.losers if loser.beaten_by]
    assert chosen in result.front or beaten[0] == chosen


@pytest.mark.parametrize("job", JOBS, ids=lambda job: f"{job[0]}-{job[1]}-{job[2]}")
def test_the_wide_space_holds_the_usual_one_and_every_layout_divides_the_job(job):
    clock = clock_of(job)
    usual, wide = (
        list(candidates(clock.shape, clock.accelerator, job[2], clock.workload, Wanted(), space))
        for space in (USUAL, WIDE)
    )
    assert set(usual) < set(wide)
    assert len(set(wide)) == len(wide)
    for layout, _ in wide:
        assert layout.tp * layout.pp * layout.cp * layout.dp == job[2]
        assert job[4] % (layout.dp * layout.micro_batch) == 0
        assert layout.pp * layout.interleave <= clock.shape.layers


def test_every_candidate_is_timed():
    job = JOBS[0]
    timed = time_layouts(accelerators=job[2], recipe=RECIPE, clock=clock_of(job), wanted=Wanted())
    assert len(timed) == search(job).timed > search(job).sized


def test_a_model_too_large_for_the_memory_is_refused_with_the_amount():
    with pytest.raises(DoesNotFit, match=r"the leanest of .* needs about .* of .* usable"):
        search(("llama-3-70b", "h100-sxm-80gb", 1, 8192, 8))


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(InputError, match="cannot be cut over 1,024 accelerators"):
        search(("llama-3-70b", "h100-sxm-80gb", 1024, 8192, 1))


def test_where_all_is_fixed_nothing_is_left_to_search():
    wanted = Wanted(tp=1, pp=1, cp=1, zero=Zero.PARAMETERS, micro_batch=1, recompute=Recompute.NONE)
    with pytest.raises(InputError, match="nothing is left to search"):
        search(JOBS[0], wanted)


@pytest.mark.parametrize(
    ("model", "tokens", "largest"), [("llama-3-8b", 8192, 16), ("gpt2", 1024, 32), ("bert-large", 512, 64)]
)
def test_the_shorter_the_sequence_the_more_of_them_make_a_usual_micro_batch(model, tokens, largest):
    workload = Workload(sequence_tokens=tokens, global_batch=1024)
    tried = candidates(resolve_model(model).shape, H100, 8, workload, Wanted(tp=1, pp=1), USUAL)
    assert {layout.micro_batch for layout, _ in tried} == {2**i for i in range(largest.bit_length())}
