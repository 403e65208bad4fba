import pytest

from ctcascade.data.errors import Fault, InputError, plain, refuse, refuse_all

pytestmark = pytest.mark.unit


def test_a_fault_is_one_line_that_says_where_what_and_what_to_do():
    fault = Fault("s.tsv", "line 2, sample", "a b", "a name", "rename it")
    assert str(fault) == "s.tsv: line 2, sample: found a b; expected a name; rename it"
    assert str(Fault("s.tsv", "", "nothing", "rows", "add rows")) == "s.tsv: found nothing; expected rows; add rows"


def test_a_fault_prints_on_one_line_whatever_the_input_held():
    hostile = "a\nb\x1b[31mred\u202egnp\x00"
    assert str(Fault(hostile, hostile, hostile, "x", "y")).isprintable()


def test_plain_is_short_and_says_how_long_it_was():
    assert plain("x" * 1000) == "x" * 120 + "... (1000 characters)"
    assert plain("x" * 1000, longest=None) == "x" * 1000
    assert plain("é µ") == "é µ"
    assert plain("\t") == "\\u0009"


def test_refusals_carry_every_fault():
    one, two = Fault("a", "", "x", "y", "z"), Fault("b", "", "x", "y", "z")
    with pytest.raises(InputError) as caught:
        refuse_all(iter([one, two]))
    assert caught.value.faults == (one, two)
    assert str(caught.value).splitlines() == [str(one), str(two)]
    refuse_all([])
    with pytest.raises(InputError, match=r"^f: k: found 3; expected 4; fix it$"):
        refuse("f", "k", 3, "4", "fix it")
