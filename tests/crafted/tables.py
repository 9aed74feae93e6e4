"""Tables and files of data as a stranger, a spreadsheet program or a torn download may leave them, made at random."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

Rows = list[list[str]]
Random = np.random.Generator

ODD_NUMBERS = (
    *(
        "94.37%",
        "94,37",
        "1,234.5",
        "1 234",
        "1_000",
        " 0.5 ",
        "nan",
        "inf",
        "-inf",
        "1e999",
        "9" * 5000,
        "",
        "-",
        "%",
        "٣",
    ),
    *("=1+1", "0x10", "true", "\u00a00.5", "0.5\u200b", "1e", ".", "+.5", "--1", "0.5 %", "abc"),
)
ODD_SPECS = (
    *("", "{", "null", "[]", "5", '"x"', "{}", "[" * 2000, '{"a":' * 2000, '{"width": 8}', '{"width": 8, "blocks": 1}'),
    *('{"width": 1' + "0" * 5000 + ', "blocks": []}', '{"width": 1e400, "blocks": []}', '{"width": NaN, "blocks": []}'),
    *(
        '{"width": 1' + "0" * 300 + ', "blocks": [{}]}',
        '{"width": 1000000000, "blocks": [{}]}',
        '{"width": -8, "blocks": []}',
    ),
    *('{"width": 8, "blocks": [[]]}', '{"width": 8, "blocks": [""]}', '{"width": 8, "blocks": [{"op": []}]}'),
    *('{"width": 8, "blocks": [{"skip": 1e999}]}', '{"width": 8, "blocks": [{"skip": ' + "1" * 400 + "}]}"),
    *(
        '{"width": 8, "blocks": [], "kind": {}}',
        '{"width": 8, "blocks": [], "shape": 5}',
        '{"\\u001b[2J": 1, "blocks": []}',
    ),
    *('{"width": 8, "blocks": [], "shape": ["a"], "kind": "resnet"}', "|op~0|", "x" * 140_000, "|" * 1000, "a" * 130_000),
)
ODD_CELLS = (
    *ODD_NUMBERS,
    *ODD_SPECS,
    "\x1b[31m",
    "\n",
    '"',
    "'",
    ",",
    ";",
    "\t",
    "\r",
    "\ud7ff",
    "\U0001f600",
    "ok",
    "diverged",
)
ODD_NAMES = (
    " arch_str",
    "arch_str ",
    "Arch_Str",
    "аrch_str",
    "arch_str\u200b",
    "",
    "spec",
    "cifar10_test",
    "half",
    "\x1b[2J",
    "a" * 5000,
)


def cells(random: Random) -> tuple[Rows, list[str]]:
    """A table like that of NAS-Bench-201."""
    names = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    rows: Rows = [["arch_str", "cifar10_test", "cifar100_test"]]
    for _ in range(6):
        a, b, c, d, e, f = (names[place] for place in random.integers(5, size=6))
        arch = f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"
        rows.append([arch, *(f"{value:.2f}" for value in random.uniform(50, 95, 2))])
    return rows, ["space=nasbench201"]


def specs(random: Random) -> tuple[Rows, list[str]]:
    """A table of Specs, of two kinds."""
    rows: Rows = [["kind", "status", "half", "accuracy", "accuracy_0", "accuracy_1", "loss", "spec"]]
    for number in range(6):
        spec = {"width": 8, "blocks": [{"skip": float(bit)} for bit in random.integers(2, size=number + 1)]}
        status = "diverged" if number == 4 else "ok"
        figures = [""] * 4 if number == 4 else [f"{value:.3f}" for value in random.uniform(size=4)]
        rows.append(["residual_mlp", status, "choose", *figures, json.dumps(spec)])
    decoder = {"width": 8, "blocks": [{"op": "attention"}], "kind": "transformer_lm", "context": 8}
    rows.append(["transformer_lm", "ok", "report", "0.1", "0.1", "0.1", "2", json.dumps(decoder)])
    return rows, ["space=residual_mlp"]


def _cell(random: Random, rows: Rows) -> None:
    row = rows[random.integers(1, len(rows))]
    row[random.integers(len(row))] = str(random.choice(ODD_CELLS))


def _column(random: Random, rows: Rows) -> None:
    place, odd = random.integers(len(rows[0])), str(random.choice(ODD_CELLS))
    for row in rows[1:]:
        row[place] = odd


def _name(random: Random, rows: Rows) -> None:
    rows[0][random.integers(len(rows[0]))] = str(random.choice(ODD_NAMES))


def _percent(random: Random, rows: Rows) -> None:
    for row in rows[1 : random.integers(2, len(rows) + 1)]:
        row[1 if len(row) == 3 else 3] += "%"


def _spaces(random: Random, rows: Rows) -> None:
    rows[:] = [[f" {cell}\u00a0" for cell in row] for row in rows]


def _short(random: Random, rows: Rows) -> None:
    del rows[random.integers(len(rows))][int(random.integers(3)) :]


def _long(random: Random, rows: Rows) -> None:
    rows[random.integers(len(rows))] += [str(random.choice(ODD_CELLS))] * int(random.integers(1, 4))


def _empty_edges(random: Random, rows: Rows) -> None:
    rows[:] = [[*row, "", ""] for row in rows] + [[""] * len(rows[0])] * 3 + [[]]


def _again(random: Random, rows: Rows) -> None:
    rows.append(list(rows[random.integers(len(rows))]))


def _header_only(random: Random, rows: Rows) -> None:
    del rows[1:]


def _nothing(random: Random, rows: Rows) -> None:
    rows.clear()


#: what is done to a table's cells
ROWS: tuple[Callable[[Random, Rows], None], ...] = (
    *(_cell, _cell, _cell, _column, _name, _percent, _spaces, _short, _long, _empty_edges, _again, _header_only, _nothing),
)


def _quote(random: Random, content: bytes) -> bytes:
    place = int(random.integers(len(content) + 1))
    return content[:place] + b'"' + content[place:]


def _byte(random: Random, content: bytes) -> bytes:
    place = int(random.integers(len(content) + 1))
    return content[:place] + bytes([random.choice([0, 0x80, 0xE9, 0xFF, 0x1B, 0x0D])]) + content[place:]


def _lines_apart(random: Random, content: bytes) -> bytes:
    return content.replace(b"\n", random.choice([b"\r", b"\r\n", b"\n\n", b"\x0b", b"\xe2\x80\xa8"]))


#: what is done to a table's bytes
BYTES: tuple[Callable[[Random, bytes], bytes], ...] = (
    lambda random, content: b"\xef\xbb\xbf" + content,
    lambda random, content: content.decode(errors="replace").encode(str(random.choice(["utf-16", "utf-16-le", "utf-32"]))),
    lambda random, content: content.replace(b",", random.choice([b";", b"\t", b"|"])),
    _quote,
    _byte,
    _lines_apart,
    lambda random, content: content[: random.integers(len(content) + 1)],
    lambda random, content: random.bytes(300),
    lambda random, content: content + b"x" * 200_000,
    lambda random, content: b"PK\x03\x04" + content,
)


def _special(random: Random, path: Path) -> None:
    """A pipe, a folder, a device, a link to itself, or nothing in the file's place."""
    path.unlink()
    kind = random.choice(["pipe", "folder", "device", "loop", "nothing"])
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind != "nothing":
        path.symlink_to("/dev/zero" if kind == "device" else path)


def crafted(random: Random, folder: Path) -> tuple[str, list[str]]:
    """A table made wrong in one or two ways, in `folder`, and the words of the verb that name its space."""
    rows, words = (cells, specs)[random.integers(2)](random)
    kinds = random.choice(["rows", "rows", "bytes", "both", "packed", "special"])
    if kinds in ("rows", "both"):
        ROWS[random.integers(len(ROWS))](random, rows)
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    content = written.getvalue().encode(errors="replace")
    if kinds in ("bytes", "both"):
        content = BYTES[random.integers(len(BYTES))](random, content)
    path = folder / ("t.csv.gz" if kinds == "packed" else "t.csv")
    if kinds == "packed":
        packed = gzip.compress(content)
        damaged = bytearray(packed)
        damaged[random.integers(len(packed))] ^= 0x55
        content = [packed, content, bytes(damaged), packed[: int(random.integers(len(packed)))]][random.integers(4)]
    path.write_bytes(content)
    if kinds == "special":
        _special(random, path)
    if random.random() < 0.1:
        words = [*words, f"target={random.choice(['cifar100_test', 'loss', 'spec', 'kind', 'arch_str', 'nothing'])}"]
    return str(path), words


def crafted_dataset(random: Random, folder: Path) -> list[str]:
    """Files of a dataset made wrong in one way, in `folder`, and the options that name them."""
    name = random.choice(["fashion_mnist", "cifar10", "pack", "text"])
    made = {"fashion_mnist": _idx, "cifar10": _batches, "pack": _pack, "text": _text}[name](random, folder)
    paths, words = made
    path = paths[random.integers(len(paths))]
    change = random.choice(["none", "cut", "byte", "longer", "special", "absent"])
    content = bytearray(path.read_bytes())
    if change == "special":
        _special(random, path)
    elif change == "absent":
        path.unlink()
    elif content:
        for _ in range(random.integers(1, 5) * (change == "byte")):
            content[random.integers(min(len(content), 400))] = random.integers(256)
        content = content[: random.integers(len(content))] if change == "cut" else content
        path.write_bytes(content + random.bytes(50) * (change == "longer"))
    return words


def _idx(random: Random, folder: Path) -> tuple[list[Path], list[str]]:
    paths = [folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte"]
    sizes = [int(random.choice([0, 1, 2, 10_012, 2**31 - 1, 2**31, 2**32 - 1])) for _ in range(2)]
    shape = [10_012, 2, 3] if random.random() < 0.6 else [10_012, *sizes]
    images, labels = random.integers(256, size=60_072, dtype=np.uint8), random.integers(10, size=10_012, dtype=np.uint8)
    paths[0].write_bytes(b"\0\0\x08\x03" + struct.pack(">3I", *shape) + images.tobytes())
    paths[1].write_bytes(b"\0\0\x08\x01" + struct.pack(">I", 10_012) + labels.tobytes())
    return paths, ["dataset=fashion_mnist", f"dataset.root={folder}"]


def _batches(random: Random, folder: Path) -> tuple[list[Path], list[str]]:
    import pickle

    paths = [folder / f"data_batch_{number}" for number in range(1, 6)]
    for path in paths:
        content = {
            b"data": random.integers(256, size=(4, 3072), dtype=np.uint8),
            b"labels": random.integers(10, size=4).tolist(),
        }
        path.write_bytes(pickle.dumps(content, protocol=2))
    limit = random.choice(["0", "-1", "10", "5", "1" + "0" * 30, "null"])
    return paths, ["dataset=cifar10", f"dataset.root={folder}", f"dataset.limit={limit}"]


def _pack(random: Random, folder: Path) -> tuple[list[Path], list[str]]:
    path = folder / "pack.npz"
    labels = random.choice(np.array([3, 10, 2**40, 2**63], dtype=np.uint64), size=8)
    offsets = np.sort(random.integers(0, 60, size=9)) if random.random() < 0.8 else random.integers(-9, 9, size=9)
    body, header = (random.integers(256, size=60, dtype=np.uint8) for _ in range(2))
    arrays = {"header": header, "body": body, "offsets": offsets, "labels": labels, "n_train": np.array(8)}
    arrays["labels"] = labels % 10 if random.random() < 0.6 else labels
    odd = [np.array([{}]), np.array(float("nan")), np.zeros((2, 2)), np.array("x"), np.zeros(8, "V0")]
    if random.random() < 0.4:
        arrays[str(random.choice([*arrays]))] = odd[random.integers(len(odd))]
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return [path], ["dataset=cifar10", f"dataset.root={path}", "dataset.limit=null"]


def _text(random: Random, folder: Path) -> tuple[list[Path], list[str]]:
    path = folder / "text.txt"
    text = "Some words, and some more.\n" * int(random.choice([0, 1, 200]))
    path.write_bytes(text.encode(str(random.choice(["utf-8", "utf-16", "utf-16-le", "utf-32", "utf-8-sig"]))))
    level, limit = random.choice(["character", "byte"]), random.choice(["0", "-1", "5", "1" + "0" * 30, "null"])
    context = random.choice(["1", "2", "16", "1" + "0" * 30, "-3"])
    options = {"path": path, "level": level, "limit": limit, "context": context}
    return [path], ["dataset=text", *(f"dataset.{name}={value}" for name, value in options.items())]
