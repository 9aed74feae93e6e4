"""What is read of tables of trained architectures: cells as spreadsheets write them, and bad rows by their names."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
import torch

from nasjac.architecture.block import Block
from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
from nasjac.kinds.transformer.spec import Decoder
from nasjac.tables import file as table_file
from nasjac.tables.file import read_table
from nasjac.tables.nasbench201.space import NasBench201
from nasjac.tables.nasbench_macro.space import NasBenchMacro
from nasjac.tables.scored_rows import NO_ROOM, has_room
from nasjac.tables.selection import check_size
from nasjac.tables.spaces import TABLE_SPACES
from nasjac.tables.spec_table import SpecTable
from nasjac.tables.table import Table
from tests.cli.test_cli import Run, run  # noqa: F401

MACRO = NasBenchMacro()


def read(folder: Path, content: str | bytes, space: object = MACRO, target: str | None = None) -> Table:
    path = folder / "t.csv"
    path.write_bytes(content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content)
    return read_table(path, space, target)  # type: ignore[arg-type]


def figures(table: Table) -> list[float | None]:
    return [entry.targets.get("acc_mean") for entry in table.entries]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xef\xbb\xbfarch,acc_mean\r\n00000000,0.5\r\n", [0.5]),
        (b" arch , acc_mean \n 00000000 , 0.5 \n", [0.5]),
        ("arch,acc_mean\n\u00a000000000,0.5\u00a0\n".encode(), [0.5]),
        (b"arch,acc_mean\n00000000,50%\n00000001,94.37 %\n", [0.5, 0.9437]),
        (b"arch,acc_mean\r00000000,0.5\r00000001,+.25e1\r", [0.5, 2.5]),
        (b"arch,acc_mean\n\n00000000,0.5\n\n,\n\n", [0.5]),
        (b"arch,acc_mean,,\n00000000,0.5,,\n00000001,1.,,,,\n00000002,2\n", [0.5, 1.0, 2.0]),
        (b'"arch","acc_mean"\n"00000000","0.5"\n', [0.5]),
    ],
)
def test_what_spreadsheet_programs_write_is_read(tmp_path: Path, content: bytes, expected: list[float]) -> None:
    table = read(tmp_path, content)
    assert figures(table) == pytest.approx(expected) and table.problems == [] and table.rows == len(expected)


GOOD = "00000000,0.25\n"


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        ('00000001,"0,93"', "acc_mean", "not a finite number: '0,93' (a decimal point, and nothing between thousands)"),
        ('00000001,"1,234.5"', "acc_mean", "not a finite number: '1,234.5' (a decimal point, and nothing"),
        ("00000001,1 234", "acc_mean", "not a finite number: '1 234' (a decimal point, and nothing"),
        ("00000001,1_000", "acc_mean", "not a finite number: '1_000'"),
        ("00000001,nan", "acc_mean", "not a finite number: 'nan'"),
        ("00000001,-inf", "acc_mean", "not a finite number: '-inf'"),
        ("00000001,1e999", "acc_mean", "not a finite number: '1e999'"),
        ("00000001," + "9" * 5000, "acc_mean", f"not a finite number: '{'9' * 60}' ... (5000 characters)"),
        ("00000001,٣", "acc_mean", "not a finite number: '٣'"),
        ("00000001,25%", "acc_mean", "a number with %, which most of the column are without: 25"),
        ("00000001", "arch", "1 cells for 2 columns"),
        ("00000001,1,2", "arch", "3 cells for 2 columns"),
        ("00000000,1", "arch", "the architecture of row 2 again"),
        ("0000000\x1b[31m,1", "arch", "`arch` must be 8 digits among 0, 1, 2, got '0000000\\x1b[31m'"),
        ("x" * 140_000 + ",1", "arch", "no CSV: field larger than field limit (131072)"),
        ("x" * 130_000 + ",1", "arch", f"`arch` must be 8 digits among 0, 1, 2, got '{'x' * 200}"),
        ('"00000001,1', "arch", "no CSV: a quotation mark that nothing closes"),
        ('"00000001"x,1', "arch", "no CSV: ',' expected after '\"'"),
        ("0000\x000001,1", "arch", "no CSV: a null character (UTF-16 has them)"),
        ("0000\udce9001,1", "arch", "no CSV: a byte 0xe9 that is not UTF-8"),
    ],
)
def test_one_bad_row_is_named_and_the_others_are_read(tmp_path: Path, row: str, column: str, reason: str) -> None:
    table = read(tmp_path, f"arch,acc_mean\n{GOOD}{row}\n00000002,0.75\n00000010,1\n")
    [problem] = table.problems
    assert (problem.row, problem.column) == (3, column) and problem.reason.startswith(reason[:200]), problem
    assert len(problem.reason) < 350 and problem.reason.isprintable()
    assert [value for value in figures(table) if value is not None] == [0.25, 0.75, 1.0]
    assert table.rows == 4 and table.left_out() == [problem]


def test_the_unit_of_a_column_is_that_of_most_of_its_cells(tmp_path: Path) -> None:
    table = read(tmp_path, "arch,acc_mean\n00000000,0.91\n00000001,94.37%\n00000002,92%\n")
    assert figures(table) == [None, pytest.approx(0.9437), pytest.approx(0.92)]
    assert [(one.row, one.reason) for one in table.problems] == [
        (2, "a number without %, which most of the column have: 0.91")
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("arch,acc_mean\n" + "x,1\n" * 5, "`table` must have a row that can be used, got 5 bad ones in "),
        ("arch,acc_mean\n00000000,x\n", "got 1 bad ones in t.csv: row 2, acc_mean: not a finite number: 'x'"),
        ("arch,acc_mean\n", "`table` must have rows below its header, got none in t.csv"),
        ("arch,acc_mean\n,\n\n", "`table` must have rows below its header, got none in t.csv"),
        ("", "`table` must have a header with the names of its columns in line 1, got none in t.csv"),
        (
            "arch\u200b,acc_mean\n",
            r"`table` must have a column arch for nasbench_macro, got 'arch\u200b', acc_mean in t.csv",
        ),
        ("аrch,acc_mean\n", r"`table` must have a column arch for nasbench_macro, got '\u0430rch', acc_mean in t.csv"),
        ("arch,acc\n", "`table` must have one of acc_mean, or `target` name a column, got arch, acc in t.csv"),
        ("arch,acc_mean,acc_mean\n", "`table` must have different names of columns, got acc_mean twice in t.csv"),
        ("arch;acc_mean\n", "`table` must be separated by commas, got semicolons in t.csv"),
        (",".join(f"c{number}" for number in range(99)), "c38, c39 and 59 more in t.csv"),
    ],
)
def test_a_table_of_which_nothing_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=re.escape(sentence)) as caught:
        read(Path(), content)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


def test_a_gain_whose_powers_are_no_floats_is_a_bad_row(tmp_path: Path) -> None:
    specs = [Decoder(width=8, blocks=(Block(),), context=8).content for _ in range(3)]
    specs[1]["weight_gain"], specs[2]["query_gain"] = 1e300, 1e300
    rows = [json.dumps(spec).replace('"', '""') for spec in specs]
    table = read(tmp_path, "spec,accuracy\n" + "".join(f'"{row}",0.5\n' for row in rows), TABLE_SPACES["transformer_lm"])
    reasons = {one.row: one.reason for one in table.problems}
    assert list(reasons) == [3, 4] and len(table.entries) == 1
    assert "`weight_gain` must be" in reasons[3] and "`query_gain` must be" in reasons[4]


def test_where_all_rows_are_bad_the_first_three_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"got 5 bad ones in .*: row 2, arch: .*; row 3, arch: .*; row 4, arch: [^;]*; and 2 more$"
    ):
        read(tmp_path, "arch,acc_mean\n" + "x,1\n" * 5)


def test_columns_without_a_name_are_named_by_their_place_if_they_hold_something(tmp_path: Path) -> None:
    table = read(tmp_path, ",arch,acc_mean,,colour\x1b[2J,\n1,00000000,0.5,,red,\n2,00000001,0.5,,red,\n")
    said = [(one.row, one.column, one.reason) for one in table.problems]
    assert said[0][:2] == (1, "colour\\x1b[2J") and said[0][2].startswith(
        "unknown column; nasbench_macro knows arch, acc_mean"
    )
    assert said[1:] == [(1, "column 1", "it has no name, and is not read")] and len(table.entries) == 2
    assert table.left_out() == []


@pytest.mark.parametrize(
    "path", ["http://localhost/t.csv", "https://localhost/t.csv", "s3://bucket/t.csv", "file:///t.csv"]
)
def test_addresses_are_refused(path: str) -> None:
    with pytest.raises(InputError, match=r"`table` must be a file, got the address '.*', which nasjac does not fetch"):
        read_table(path, MACRO)


def test_what_is_no_file_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path, kind in ((tmp_path / "pipe.csv", "named pipe"), (Path("/dev/zero"), "device"), (tmp_path, "folder")):
        with pytest.raises(InputError, match=f"`table` must be a file, got '{path}', which is a {kind}"):
            read_table(path, MACRO)


def test_a_long_cell_takes_no_long_time(tmp_path: Path) -> None:
    """Its form was looked for from every character on, to the end."""
    good = NasBench201().random(1, 0)[0].arch
    began = time.perf_counter()
    table = read(tmp_path, f"arch_str,cifar10_test\n{'a' * 130_000},1\n{good},1\n", NasBench201())
    assert time.perf_counter() - began < 1 and "got 130000 characters" in table.problems[0].reason


def test_tables_without_end_are_not_read_to_their_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert table_file.MOST == 1_000_000
    monkeypatch.setattr(table_file, "MOST", 3)
    with pytest.raises(InputError, match="`table` must have at most 3 rows, got more in "):
        read(tmp_path, "arch,acc_mean\n" + "x,1\n" * 4)


def quoted(*contents: object) -> str:
    rows = (content if isinstance(content, str) else json.dumps(content) for content in contents)
    return "spec,accuracy\n" + "".join('"' + row.replace('"', '""') + '",1\n' for row in rows)


def of(**changes: object) -> dict[str, object]:
    return {"width": 8, "blocks": [{}], **changes}


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("[" * 100_000, "must be JSON of a depth that can be read, got one nested too deeply"),
        ('{"width": 1' + "0" * 5000 + ', "blocks": []}', "Exceeds the limit"),
        (
            of(width=10**400),
            "`width` must be a whole number of at least 2 and at most 1048576, got a whole number of 1329 bits",
        ),
        (of(width=8.0), "`width` must be a whole number of at least 2, got 8.0"),
        (of(width="8"), "`width` must be a whole number of at least 2, got '8'"),
        (of(blocks=5), "an object with `width` and a list `blocks`, got '{"),
        (of(blocks=[""]), "a Block must be a JSON object of its fields, got ''"),
        (of(blocks=[{"op": []}]), "`op` must be the name of an operation, got []"),
        (of(blocks=[{"skip": 10**400}]), "`skip` must be a number in [0, 1], got a whole number of 1329 bits"),
        (of(kind={}), "`kind` must be one of residual_mlp, transformer_lm, vit, resnet, densenet, got {}"),
        (of(shape=5), "`shape` is not a field of ResidualMLP"),
        (of(kind="resnet", norm="none", blocks=[], shape=5), "`shape` must be a sequence of whole numbers, got 5"),
        ({"width": 8}, "an object with `width` and a list `blocks`, got '{"),
        ("5", "an object with `width` and a list `blocks`, got '5'"),
        (of(**{"\x1b[2J": 1}), "`\\x1b[2J` is not a field of ResidualMLP"),
    ],
)
def test_malformed_specs_are_bad_rows(tmp_path: Path, spec: object, reason: str) -> None:
    table = read(tmp_path, quoted(spec, of()), SpecTable())
    [problem] = table.problems
    assert (problem.row, problem.column, problem.rule) == (2, "spec", "no architecture of this space")
    assert "`spec` must be the JSON of a Spec, got '" in problem.reason and reason in problem.reason, problem.reason
    assert problem.reason.isprintable() and len(table.entries) == 1


def test_a_fault_in_spec_is_no_bad_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(text: str) -> Spec:
        raise TypeError("a fault of nasjac")

    monkeypatch.setattr(Spec, "from_json", faulty)
    with pytest.raises(TypeError, match="a fault of nasjac"):
        read(tmp_path, quoted(of()), SpecTable())


def test_what_memory_has_no_room_for_is_not_tried() -> None:
    inputs, device = torch.zeros(4, 64), torch.device("cpu")
    assert has_room(Spec.of(width=8, blocks=(Block(),)), inputs, device)
    for spec in (Spec.of(width=2**20, blocks=(Block(),) * 3), Spec.of(width=2**16, blocks=(Block(),), ffn_ratio=2**20)):
        assert not has_room(spec, inputs, device)
    ids, decoder = (
        torch.zeros(4, 16, dtype=torch.int64),
        Spec.of(width=2**20, blocks=(Block(),), kind="transformer_lm", context=16),
    )
    assert not has_room(decoder, ids, device)
    assert not has_room(Spec.of(width=2**20, blocks=()), torch.zeros(1, 1).expand(4, 2**20), device), "its embedding"


def test_pairs_and_resamples_are_bounded() -> None:
    check_size(2**14, 1000)
    check_size(0, 10**6)
    with pytest.raises(
        InputError, match=f"`n` must be at most {2**14} to compare all pairs, got {2**14 + 1} architectures"
    ):
        check_size(2**14 + 1, 0)
    with pytest.raises(InputError, match="`resamples` must be at most 67108 for 1000 architectures, got 67109"):
        check_size(1000, 67109)


def test_rows_that_are_left_out_are_counted_by_reason(run: Run) -> None:  # noqa: F811
    bad = [of(width="8"), of(blocks=5), "{", of(), of()]
    lines = quoted(*bad, of(width=16), of(width=2**20), of(width=4)).replace(",1\n", ",0.1\n")
    Path("t.csv").write_text(lines + '"{""width"": 12, ""blocks"": []}","0,5"\n')
    words = ("correlate", "table=t.csv", "space=residual_mlp", "dataset=digits", "score=criticality", "resamples=5")
    quick = ("score.max_draws=16", "quiet=true")
    code, out, err = run(*words, *quick, "format=json")
    found = json.loads(out)
    assert code == 0 and err == ""
    reasons = {
        "spec: no architecture of this space": 3,
        "spec: an architecture again": 1,
        "accuracy: not a finite number": 1,
    }
    assert found["missing_row_reasons"] == reasons and found["missing_rows"] == 5
    assert found["missing_scores"] == {NO_ROOM: 1} and found["missing"] == 6 and found["n"] == 3
    assert {problem["rule"] for problem in found["problems"]} == {key.split(": ")[1] for key in reasons}
    code, out, _ = run(*words, *quick)
    assert code == 0 and "  3 left out, spec: no architecture of this space\n" in out
    assert f"  1 without a score: {NO_ROOM}\n" in out and "missing: 6" in out
