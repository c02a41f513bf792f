import numpy as np
import pytest
import torch

from study.records.failure import REMEDIES, Failure, last_words
from study.running.worker import failure_of


def raised_by(action):
    with pytest.raises(Exception) as caught:
        action()
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no memory"),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported late"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_memory_that_ran_out_is_known(error):
    assert failure_of(error).kind == "memory"
    assert failure_of(error).needs_room


def test_the_real_errors_of_torch_and_numpy_are_known():
    for action in (lambda: torch.empty(10**15), lambda: np.empty(10**15)):
        assert failure_of(raised_by(action)).kind == "memory"


@pytest.mark.parametrize("error", [ValueError("bad"), RuntimeError("size mismatch"), KeyError("memory")])
def test_other_errors_are_only_errors(error):
    failure = failure_of(error)
    assert failure.kind == "error"
    assert not failure.needs_room


def test_the_reason_names_the_error():
    assert failure_of(ValueError("bad")).reason == "ValueError: bad"
    assert failure_of(MemoryError()).reason == "MemoryError"


def test_last_words_tell_both_times_and_what_to_do():
    late = Failure(kind="timeout", reason="too slow")
    assert last_words(late, None) == "too slow"
    told = last_words(late, "MemoryError")
    assert told == (
        "too slow (alone, with a whole device to itself); before, among others: MemoryError. What to do: "
        f"{REMEDIES['timeout']}"
    )
