"""Datasets: the contract of all, the split of each, and what is said about files that are missing or malformed."""

from __future__ import annotations

import gzip
import io
import math
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from nasjac import Spec
from nasjac.datasets import DATASETS, Cifar10, Data, Dataset, Digits, FashionMnist, Text, standardized
from nasjac.datasets.cifar10_batches import TUPLES
from nasjac.datasets.files import LARGEST
from nasjac.foundation.errors import InputError
from nasjac.testing import DatasetContract
from nasjac.trainers import AdamW

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def idx(array: np.ndarray) -> bytes:
    """The IDX file of an array of bytes."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">i4").tobytes() + array.astype(np.uint8).tobytes()


def write_fashion(folder: Path, count: int = 10_012) -> tuple[np.ndarray, np.ndarray]:
    """Small images [count, 2, 3] and their labels, as plain IDX files in `folder`."""
    generator = np.random.default_rng(0)
    images, labels = generator.integers(0, 256, (count, 2, 3)), generator.integers(0, 10, count)
    (folder / IMAGES).write_bytes(idx(images))
    (folder / LABELS).write_bytes(idx(labels))
    return images, labels


class Python2Pickler(pickle._Pickler):
    """Writes strings of bytes as Python 2 did, and names numpy's modules as they were before numpy 2."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_bytes(self, content: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)

    dispatch[bytes] = save_bytes


def python2_pickle(content: Any) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue().replace(b"numpy._core", b"numpy.core")


def write_cifar(folder: Path, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Smooth images [count, 3, 32, 32] and their labels, in the layout of the authors: five batches of equal size."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (count, 3, 2, 2))
    images, labels = coarse.repeat(16, axis=2).repeat(16, axis=3).astype(np.uint8), generator.integers(0, 10, count)
    write_batches(folder, images, labels)
    return images, labels


def write_batches(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    (folder / "cifar-10-batches-py").mkdir(exist_ok=True)
    for number, (part, named) in enumerate(zip(np.split(images, 5), np.split(labels, 5), strict=True), 1):
        content = {b"batch_label": b"training batch", b"labels": named.tolist(), b"data": part.reshape(len(part), -1)}
        (folder / "cifar-10-batches-py" / f"data_batch_{number}").write_bytes(python2_pickle(content))


def write_text(folder: Path) -> str:
    path = folder / "text.txt"
    path.write_text("".join(chr(code) for code in np.random.default_rng(0).integers(0x3B1, 0x3C9, 9000)), encoding="utf-8")
    return str(path)


class TestDatasets(DatasetContract):
    """Each of them."""

    tolerance = 1e-5

    @pytest.fixture(params=DATASETS, autouse=True)
    def chosen(self, request: pytest.FixtureRequest, tmp_path: Path) -> None:
        write_fashion(tmp_path)
        write_cifar(tmp_path)
        root = {"root": str(tmp_path)}
        options = {"fashion_mnist": root, "cifar10": root, "text": {"path": write_text(tmp_path)}}.get(request.param, {})
        self.option, self.made = request.param, DATASETS[request.param](**options)

    def dataset(self) -> Dataset:
        return self.made

    def test_its_name_is_the_option_s(self) -> None:
        assert self.made.name == self.option

    def test_features_are_float32_of_images(self) -> None:
        data = self.made.load()
        assert data.is_tokens or (data.train_inputs.dtype == data.valid_inputs.dtype == torch.float32)
        assert (data.shape is None) == data.is_tokens


@pytest.mark.parametrize(
    ("inputs", "labels", "shape", "complaint"),
    [
        (torch.zeros(4, 12), torch.zeros(4).long(), (3, 2, 3), r"as many features as its shape \(3, 2, 3\), got 12"),
        (torch.full((4, 6), 5), torch.zeros(4, 6).long(), None, "below the size of its vocabulary, 5, got 5 to 5"),
        (torch.zeros(4, 6).long(), torch.full((4, 6), -1), None, "below the size of its vocabulary, 5, got -1 to -1"),
        (torch.zeros(4, 6).long(), torch.zeros(4).long(), None, r"as many labels, got \[4, 6\] and \[4\]"),
        (torch.zeros(4, 6).long(), torch.zeros(4, 6).long(), (1, 2, 3), "no shape of images where it has tokens"),
        (
            torch.zeros(4, 6),
            torch.zeros(3).long(),
            None,
            r"labels \[n\], of as many features in both splits, got \[4, 6\] and \[3\]",
        ),
        (
            torch.zeros(4, 3, 8, 8),
            torch.zeros(4).long(),
            None,
            r"features \[n, features\] .*, got \[4, 3, 8, 8\] and \[4\]",
        ),
        (torch.full((4, 6), math.nan), torch.zeros(4).long(), None, "finite numbers, got 24 that are not, of 24"),
        (torch.zeros(4, 6), torch.full((4,), 5), None, "labels below the number of its classes, 5, got 5 to 5"),
        (torch.zeros(4, 6), torch.full((4,), -1), None, "labels below the number of its classes, 5, got -1 to -1"),
    ],
)
def test_data_that_cannot_be(
    inputs: torch.Tensor, labels: torch.Tensor, shape: tuple[int, ...] | None, complaint: str
) -> None:
    with pytest.raises(InputError, match=f"`dataset` must .*{complaint}"):
        Data(inputs, labels, inputs, labels, outputs=5, shape=shape)


def test_data_of_other_types_or_of_no_class() -> None:
    inputs, labels = torch.zeros(4, 6), torch.zeros(4).long()
    for outputs in (0, -1, 2.5, True):
        with pytest.raises(InputError, match=f"`outputs` must be a whole number of at least 1, got {outputs}"):
            Data(inputs, labels, inputs, labels, outputs=outputs)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="`valid_inputs` must be a tensor, got ndarray"):
        Data(inputs, labels, inputs.numpy(), labels, outputs=1)  # type: ignore[arg-type]


def test_features_alone_are_trained_on_by_an_mlp(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`dataset` must hold features .*residual_mlp, got token ids \(.* of 24\)"):
        AdamW(steps=1).train(Spec.of(width=8, blocks=()), Text(write_text(tmp_path)).load())


def test_standardization_is_the_train_split_s_and_keeps_the_ratios_of_features() -> None:
    raw = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 7 + 3
    raw[:, 2] = 5.0  # a feature that says nothing stays silent
    valid = torch.arange(50) % 5 == 0
    data = standardized(raw, torch.arange(50), valid, outputs=50)
    mean = raw[~valid].mean(dim=0)
    scale = (raw[~valid] - mean).square().mean().sqrt()
    torch.testing.assert_close(data.valid_inputs.double() * scale + mean, raw[valid], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(data.train_inputs.double() * scale + mean, raw[~valid], rtol=1e-5, atol=1e-5)
    assert data.valid_labels.tolist() == list(range(0, 50, 5))
    with pytest.raises(InputError, match=r"`dataset` must hold training inputs that differ .*40 equal training inputs"):
        standardized(torch.ones(50, 4), torch.arange(50), valid, outputs=50)
    raw[3, 1] = math.nan
    with pytest.raises(
        InputError, match="`dataset` must hold training inputs that are finite in float32, got one that is not"
    ):
        standardized(raw, torch.arange(50), valid, outputs=50)
    with pytest.raises(InputError, match="finite in float32, got no training inputs"):
        standardized(raw, torch.arange(50), torch.ones(50, dtype=torch.bool), outputs=50)


def test_digits_keeps_a_fifth_of_each_class_apart() -> None:
    data = Digits().load()
    held, trained = data.valid_labels.bincount(), data.train_labels.bincount()
    assert len(held) == data.outputs == 10 and held.sum() + trained.sum() == 1797
    assert torch.equal(held, (held + trained) // 5)
    assert (torch.cdist(data.valid_inputs, data.train_inputs) > 0).all(), "a sample in both splits"


def test_importing_datasets_does_not_import_scikit_learn() -> None:
    code = "import sys, nasjac.datasets; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def fashion(folder: Path) -> Data:
    return FashionMnist(root=str(folder)).load()


def test_fashion_mnist_validates_on_the_last_ten_thousand_training_images(tmp_path: Path) -> None:
    images, labels = write_fashion(tmp_path)
    data = fashion(tmp_path)
    assert data.train_labels.tolist() == labels[:12].tolist() and data.valid_labels.tolist() == labels[12:].tolist()
    flat = images.reshape(len(images), -1) - images[:12].reshape(12, -1).mean(axis=0)
    flat /= np.sqrt((flat[:12] ** 2).mean())
    np.testing.assert_allclose(data.valid_inputs.numpy(), flat[12:], rtol=1e-4, atol=1e-5)


def test_fashion_mnist_reads_compressed_files_alike(tmp_path: Path) -> None:
    write_fashion(tmp_path)
    plain = fashion(tmp_path)
    for name in (IMAGES, LABELS):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        (tmp_path / name).unlink()
    packed = fashion(tmp_path)
    assert torch.equal(plain.train_inputs, packed.train_inputs) and torch.equal(plain.valid_labels, packed.valid_labels)


def test_missing_files_are_named_with_the_way_to_get_them(tmp_path: Path) -> None:
    write_fashion(tmp_path)
    (tmp_path / LABELS).unlink()
    complaint = f"`dataset.root` must hold .*{tmp_path} without {LABELS};.*dataset-fashion-mnist"
    with pytest.raises(ValueError, match=complaint):
        fashion(tmp_path)
    with pytest.raises(ValueError, match=f"without {IMAGES} and {LABELS}"):
        fashion(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        (IMAGES, b"", "starting 00 00 08"),
        (IMAGES, b"\x89PNG\r\n", "89 50 4e"),
        (IMAGES, idx(np.zeros((10_012, 2, 3)))[:-1], "60071 bytes for shape"),
        (IMAGES, b"\0\0\x08\x03\0\0", "whole header"),
        (IMAGES, idx(np.zeros((10_012, 6))), "10012, 6"),
        (IMAGES, idx(np.zeros((10_012, 0, 3))), r"images \[n, rows, columns\] that are not empty .*got \[10012, 0, 3\]"),
        (
            IMAGES,
            b"\0\0\x08\x03" + struct.pack(">3i", -10_012, -2, 3) + bytes(60_072),
            r"60072 bytes for shape \[4294957284,",
        ),
        (IMAGES, b"\0\0\x08\x03" + struct.pack(">3I", 2**31, 2**31, 2**31), "0 bytes for shape"),
        (IMAGES, b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\0", "1 to 3 dimensions, got 255"),
        (IMAGES, b"\0\0\x08\0\0", "1 to 3 dimensions, got 0"),
        (LABELS, idx(np.zeros(10_011)), "10011"),
        (LABELS, idx(np.full(10_012, 10)), "labels below 10, got 10"),
        (f"{LABELS}.gz", b"\x1f\x8b broken", "files that can be read"),
        (f"{LABELS}.gz", gzip.compress(idx(np.zeros(10_012)), mtime=0)[:-20], "files that can be read"),
    ],
)
def test_malformed_files(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    write_fashion(tmp_path)
    (tmp_path / name.removesuffix(".gz")).unlink()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=complaint):
        fashion(tmp_path)


SPECIAL = {
    "named pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": Path.mkdir,
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_file_is_refused_before_it_is_opened(tmp_path: Path, kind: str) -> None:
    """Reading them would never end."""
    write_fashion(tmp_path)
    write_cifar(tmp_path)
    batch, image_file, pack = tmp_path / "cifar-10-batches-py/data_batch_2", tmp_path / IMAGES, tmp_path / "pack.npz"
    for path in (batch, image_file):
        path.unlink()
    for path in (batch, image_file, pack):
        SPECIAL[kind](path)
    packed_file = tmp_path / "elsewhere" / f"{LABELS}.gz"
    packed_file.parent.mkdir()
    (packed_file.parent / IMAGES).write_bytes(idx(np.zeros((10_012, 2, 3))))
    SPECIAL[kind](packed_file)
    datasets = {
        image_file: FashionMnist(str(tmp_path)),
        packed_file: FashionMnist(str(packed_file.parent)),
        batch: Cifar10(str(tmp_path)),
        pack: Cifar10(str(pack)),
    }
    for path, dataset in datasets.items():
        with pytest.raises(InputError, match=f"`dataset.root` must be a file, got '{path}', which is a {kind}"):
            dataset.load()
    with pytest.raises(InputError, match=f"`dataset.path` must be a file, got '{pack}', which is a {kind}"):
        Text(str(pack)).load()


def test_what_is_no_path() -> None:
    for kind, name in ((FashionMnist, "root"), (Cifar10, "root"), (Text, "path")):
        with pytest.raises(InputError, match=f"`dataset.{name}` must be a path, got 5"):
            kind(5)  # type: ignore[arg-type]


def test_files_without_end_are_not_read_to_their_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LARGEST == 2**30
    monkeypatch.setattr("nasjac.datasets.files.LARGEST", 1_000_000)
    monkeypatch.setattr("nasjac.datasets.cifar10_pack.LARGEST", 1_000_000)
    bomb = gzip.compress(bytes(3_000_000))
    write_fashion(tmp_path)
    (tmp_path / IMAGES).unlink()
    (tmp_path / f"{IMAGES}.gz").write_bytes(bomb)
    with pytest.raises(InputError, match=r"files of at most 1000000 bytes, got more in .*ubyte\.gz"):
        fashion(tmp_path)
    with (tmp_path / "text.txt").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(
        InputError, match=r"`dataset.path` must hold files of at most 1000000 bytes, got more in .*text\.txt"
    ):
        Text(str(tmp_path / "text.txt")).load()
    pack = packed(*write_cifar(tmp_path, count=20), test_images=0) | {"body": np.zeros(3_000_000, np.uint8)}
    np.savez_compressed(tmp_path / "pack.npz", **pack)
    with pytest.raises(InputError, match=r"pack.npz: arrays of \d+ bytes, where 1000000 are the most"):
        cifar(tmp_path / "pack.npz")


def test_too_few_images_to_validate(tmp_path: Path) -> None:
    write_fashion(tmp_path, count=10_000)
    with pytest.raises(ValueError, match="n over 10000"):
        fashion(tmp_path)


def cifar(root: Path, limit: int | None = None) -> Data:
    return Cifar10(str(root), limit).load()


def test_cifar10_validates_on_the_last_batch(tmp_path: Path) -> None:
    images, labels = write_cifar(tmp_path)
    data = cifar(tmp_path)
    assert data.shape == (3, 32, 32) and data.outputs == 10
    assert data.train_labels.tolist() == labels[:48].tolist() and data.valid_labels.tolist() == labels[48:].tolist()
    flat = images.reshape(60, -1) - images[:48].reshape(48, -1).mean(axis=0)
    flat /= np.sqrt((flat[:48] ** 2).mean())
    np.testing.assert_allclose(data.valid_inputs.numpy(), flat[48:], rtol=1e-4, atol=1e-5)
    assert torch.equal(cifar(tmp_path / "cifar-10-batches-py").valid_inputs, data.valid_inputs)


def test_cifar10_s_limit_takes_the_first_of_each_class(tmp_path: Path) -> None:
    _, labels = write_cifar(tmp_path, count=400)
    data = cifar(tmp_path, limit=70)
    assert data.train_labels.bincount().tolist() == [7] * 10 and data.valid_labels.tolist() == labels[320:].tolist()
    first = np.sort(np.concatenate([np.flatnonzero(labels[:320] == label)[:7] for label in range(10)]))
    assert data.train_labels.tolist() == labels[first].tolist()
    assert torch.equal(cifar(tmp_path, limit=9 * 10**18).train_labels, cifar(tmp_path).train_labels)
    with pytest.raises(InputError, match=r"`dataset.limit` must be .* at most \d+, got 10+$"):
        Cifar10(limit=10**30)
    for limit in (0, 5, -10):
        with pytest.raises(InputError, match=f"`dataset.limit` must be a whole number of at least 10, got {limit}"):
            Cifar10(limit=limit)
    with pytest.raises(InputError, match=r"`dataset.limit` must be a multiple of 10 above 0, or null, got 25"):
        Cifar10(limit=25)


def jpeg(image: np.ndarray, **options: Any) -> bytes:
    """The JPEG file of an image [3, rows, columns]."""
    file = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", **options)
    return file.getvalue()


def packed(images: np.ndarray, labels: np.ndarray, test_images: int = 3) -> dict[str, Any]:
    """The arrays of a JPEG pack whose last images are for testing."""
    files = [jpeg(image) for image in images]
    start = files[0][: files[0].index(b"\xff\xda") + 14]  # up to where the scan's data begin
    assert all(file.startswith(start) for file in files)
    parts = [file[len(start) :] for file in files]
    return {
        "header": np.frombuffer(start, np.uint8),
        "body": np.frombuffer(b"".join(parts), np.uint8),
        "offsets": np.cumsum([0, *map(len, parts)]),
        "labels": labels.astype(np.uint8),
        "n_train": np.array(len(images) - test_images),
    }


def test_cifar10_is_the_same_from_a_pack_of_jpegs_as_from_the_batches(tmp_path: Path) -> None:
    images, labels = write_cifar(tmp_path, count=63 + 2)
    np.savez(tmp_path / "pack.npz", **packed(images, labels, test_images=5))
    lossy = np.stack([np.asarray(Image.open(io.BytesIO(jpeg(image)))).transpose(2, 0, 1) for image in images[:60]])
    assert 0 < np.abs(lossy.astype(int) - images[:60]).mean() < 10
    write_batches(tmp_path, lossy, labels[:60])
    for limit in (20, None):
        pack, batches = cifar(tmp_path / "pack.npz", limit), cifar(tmp_path, limit)
        assert torch.equal(pack.train_inputs, batches.train_inputs) and torch.equal(pack.train_labels, batches.train_labels)
        assert torch.equal(pack.valid_inputs, batches.valid_inputs) and torch.equal(pack.valid_labels, batches.valid_labels)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_batches_that_python_3_wrote_are_read_alike(tmp_path: Path, protocol: int) -> None:
    images, labels = write_cifar(tmp_path)
    before = cifar(tmp_path)
    for number, order in enumerate("CFCFC"):
        rows = slice(12 * number, 12 * number + 12)
        content = {b"data": np.asarray(images[rows].reshape(12, -1), order=order), b"labels": labels[rows].tolist()}
        path = tmp_path / "cifar-10-batches-py" / f"data_batch_{number + 1}"
        path.write_bytes(pickle.dumps(content, protocol=protocol))
    after = cifar(tmp_path)
    assert torch.equal(before.train_inputs, after.train_inputs) and torch.equal(before.valid_labels, after.valid_labels)


class Harmful:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_batch_runs_no_code(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    batch = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    batch.write_bytes(pickle.dumps({b"data": Harmful(tmp_path / "made"), b"labels": []}))
    pickle.loads(batch.read_bytes())  # it would
    (tmp_path / "made").rmdir()
    with pytest.raises(ValueError, match=r"data_batch_3: UnpicklingError: it asks for (posix|nt)\.mkdir"):
        cifar(tmp_path)
    assert not (tmp_path / "made").exists()


def test_missing_batches_are_named_with_the_way_to_get_them(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    for name in ("data_batch_2", "data_batch_5"):
        (tmp_path / "cifar-10-batches-py" / name).unlink()
    with pytest.raises(ValueError, match='without data_batch_2, data_batch_5; get "CIFAR-10 python version"'):
        cifar(tmp_path)
    with pytest.raises(ValueError, match=r"`dataset.root` must be an .npz file of .*No such file.*CIFAR-10 python version"):
        cifar(tmp_path / "nowhere.npz")


PIXELS = np.zeros((4, 3072), np.uint8)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "data_batch_1: ValueError: pickle exhausted"),
        (b"no pickle at all", "data_batch_1: "),
        (python2_pickle({b"data": PIXELS, b"labels": [0] * 4})[:-99], "data_batch_1: "),
        (python2_pickle({b"labels": [0] * 4}), "data_batch_1: KeyError: b'data'"),
        (python2_pickle([]), "data_batch_1: TypeError"),
        (python2_pickle({b"data": PIXELS[:, 1:], b"labels": [0] * 4}), r"got \[4, 3071\] and \[4\] int64 in"),
        (python2_pickle({b"data": PIXELS.astype(float), b"labels": [0] * 4}), "TypeError: an array of b?'f8' where"),
        (python2_pickle({b"data": [[0] * 3072], b"labels": [0]}), "data_batch_1: AttributeError"),
        (python2_pickle({b"data": PIXELS, b"labels": [0] * 3}), r"and \[3\] int64"),
        (python2_pickle({b"data": PIXELS, b"labels": [0.5] * 4}), r"and \[4\] float64"),
        (python2_pickle({b"data": PIXELS[0], b"labels": 5}), r"got \[3072\] and \[\] int64"),
        (python2_pickle({b"data": PIXELS[None], b"labels": [[0] * 4]}), r"got \[1, 4, 3072\] and \[1, 4\] int64"),
        (python2_pickle({b"data": PIXELS, b"labels": [2**70] * 4}), r"and \[4\] object"),
        (b"\x80\x02]r\xff\xff\xff\x7f.", "UnpicklingError: it asks for 2147483647 places"),
        (b"\x80\x02}" + b")" + b"\x85" * 500_000 + b"K\0s.", f"UnpicklingError: it asks for more than {TUPLES} tuples"),
        (
            b"\x80\x02]c_codecs\nencode\nq\1X\xe8\3\0\0"
            + b"a" * 1000
            + b"X\6\0\0\0latin1\x86q\2R"
            + b"h\1h\2R" * 50
            + b".",
            "UnpicklingError: it asks for more bytes than it has",
        ),
        (python2_pickle({b"data": PIXELS, b"labels": [10] * 4}), "labels or more below 10, got 52 of them, 0 to 10,"),
    ],
)
def test_malformed_batches(tmp_path: Path, content: bytes, complaint: str) -> None:
    write_cifar(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(content)
    with pytest.raises(ValueError, match=f"`dataset.root` must hold .*{complaint}"):
        cifar(tmp_path)


def test_too_few_images_of_cifar10_to_validate(tmp_path: Path) -> None:
    pack = packed(np.zeros((4, 3, 32, 32), np.uint8), np.arange(4), test_images=0)
    np.savez(tmp_path / "pack.npz", **pack)
    with pytest.raises(ValueError, match="5 labels or more below 10, got 4 of them"):
        cifar(tmp_path / "pack.npz")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"body": None}, "be an .npz file of header, body, .*body"),
        ({"labels": np.zeros(20, "V0")}, r"hold bytes .*labels \[20\] \|V0"),
        ({"labels": np.full(20, 2**63, np.uint64)}, f"hold 5 labels or more below 10, got 20 of them, {2**63} to {2**63},"),
        ({"labels": np.array([{}])}, "be an .npz file of .*allow_pickle"),
        ({"header": np.zeros(3)}, r"hold bytes `header` .*header \[3\] float64"),
        ({"offsets": np.arange(3)}, r"hold bytes .*offsets \[3\] int64, labels \[20\] uint8"),
        ({"n_train": np.array(21)}, "hold bytes .*`n_train` up to n"),
        ({"body": np.zeros(7, np.uint8)}, "hold `offsets` that ascend within the 7 bytes of `body`"),
        ({"offsets": np.arange(20, -1, -1)}, "hold `offsets` that ascend"),
        ({"labels": np.full(20, 11)}, "hold 5 labels or more below 10, got 20 of them, 11 to 11"),
        ({"header": np.zeros(600, np.uint8)}, "hold whole JPEG images, got image 0 of .*pack.npz: cannot identify"),
    ],
)
def test_malformed_packs(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    pack = packed(*write_cifar(tmp_path, count=20), test_images=0) | change
    path = tmp_path / "pack.npz"
    np.savez(path, **{name: array for name, array in pack.items() if array is not None})
    with pytest.raises(ValueError, match=f"`dataset.root` must {complaint}"):
        cifar(path)


def test_packs_that_are_cut_or_hold_other_images(tmp_path: Path) -> None:
    images, labels = write_cifar(tmp_path, count=20)
    path = tmp_path / "pack.npz"
    np.savez(path, **packed(images, labels))
    whole = path.read_bytes()
    encrypted = bytearray(whole)
    encrypted[whole.index(b"PK\x01\x02") + 8] |= 1
    for content in (b"", b"text", whole[:-500], whole.replace(b"\xff\xd9", b"\xff\xda"), encrypted):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"`dataset.root` must be an .npz file of .*pack.npz: "):
            cifar(path)
    for header in (
        f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({2**62},)}}",
        "{" * 9,
        "-" * 9000 + "1",
        "{1: 2, 'a': 3}",
    ):
        with zipfile.ZipFile(path, "w") as file:
            for name in ("header", "body", "offsets", "labels", "n_train"):
                written = header.encode() + b"\n"
                file.writestr(f"{name}.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(written)) + written)
        with pytest.raises(InputError, match=r"`dataset.root` must be an .npz file of .*pack.npz: "):
            cifar(path)
    np.savez(path, **packed(images[:, :, :16], labels))
    with pytest.raises(ValueError, match=r"images of 32 x 32 RGB, got 32 x 16 RGB, image 0 of .*pack.npz"):
        cifar(path)
    cut = packed(images, labels)
    cut["offsets"][8:] = cut["offsets"][7] + 9
    np.savez(path, **cut)
    with pytest.raises(ValueError, match=r"whole JPEG images, got image 7 of .*pack.npz: .*truncated"):
        cifar(path)


@pytest.mark.parametrize(
    ("level", "context", "length"), [("character", 3, 1000), ("character", 64, 9000), ("byte", 5, 1531)]
)
def test_blocks_of_text_tile_it_and_labels_are_the_next_ids(tmp_path: Path, level: str, context: int, length: int) -> None:
    text = "".join(chr(code) for code in np.random.default_rng(1).integers(0x1F600, 0x1F650, length))
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    data = Text(str(tmp_path / "text.txt"), level, context).load()
    vocabulary = sorted(set(text))
    ids = [vocabulary.index(one) for one in text] if level == "character" else list(text.encode())
    size = 10 * context + 1
    blocks = [ids[start : start + size] for start in range(0, len(ids) - size + 1, size)]
    train = [block for number, block in enumerate(blocks) if number % 10 != 9]
    for chosen, inputs, labels in (
        (train, data.train_inputs, data.train_labels),
        (blocks[9::10], data.valid_inputs, data.valid_labels),
    ):
        assert inputs.shape == labels.shape == (10 * len(chosen), context)
        assert inputs.view(len(chosen), -1).tolist() == [block[:-1] for block in chosen]
        assert labels.view(len(chosen), -1).tolist() == [block[1:] for block in chosen]


def test_no_character_of_the_text_is_in_both_splits(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("".join(map(chr, range(0x4E00, 0x4E00 + 2000))), encoding="utf-8")
    data = Text(str(tmp_path / "text.txt"), context=7).load()
    train, valid = (
        {*inputs.flatten().tolist(), *labels.flatten().tolist()}
        for inputs, labels in ((data.train_inputs, data.train_labels), (data.valid_inputs, data.valid_labels))
    )
    assert train and valid and not train & valid and data.outputs == 2000


def test_the_vocabulary_is_the_whole_file_s(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(("ab\r\n" * 60 + "zé").encode())
    whole, part = Text(str(path), context=2).load(), Text(str(path), context=2, limit=215).load()
    assert whole.outputs == part.outputs == len(set("ab\r\nzé"))
    assert torch.equal(whole.train_inputs[: len(part.train_inputs)], part.train_inputs)
    assert whole.train_inputs[0].tolist() == [2, 3], "line ends are kept as they are"
    other = Text(str(path), level="byte", context=2).load()
    assert other.outputs == 256 and other.train_inputs[0].tolist() == list(b"ab")


def test_the_default_text_is_python_s_own_help() -> None:
    data = Text().load()
    assert data.train_inputs.numel() > 300_000 and 90 < data.outputs < 300
    assert torch.equal(Text(level="byte").load().train_inputs[0, :20], torch.tensor(list(b'The "assert" stateme')))


def test_a_python_without_its_help_says_what_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(ValueError, match=r"`dataset.path` must be the path of a text file .*pydoc_data.topics"):
        Text().load()


@pytest.mark.parametrize(
    ("content", "options", "complaint"),
    [
        (None, {}, r"`dataset.path` must be a file that exists, got .*text.txt.*No such file"),
        (b"", {"context": 64}, "must hold at least 6410 characters .*, got 0 in"),
        (b"a" * 6409, {"context": 64}, r"\(10 blocks of 10 contexts of 64\), got 6409 in .*text.txt"),
        (b"ab" * 9000, {"limit": 100}, "got 100 in .*text.txt, `dataset.limit` 100"),
        (b"a" * 6410, {}, "must hold different characters, got 6410 equal ones"),
        (b"a" * 6410, {"level": "byte"}, "must hold different bytes"),
        (b"\xc3\xa9\xff" * 6410, {}, "must hold UTF-8 text, got byte 0xff at offset 2 in .*`dataset.level` byte takes any"),
        ("аб".encode("utf-16"), {}, "must hold UTF-8 text, got UTF-16 in .*`dataset.level` byte takes any"),
        (
            "plain words ".encode("utf-16-le") * 600,
            {},
            "must hold UTF-8 text, got what looks like UTF-16, .* byte takes any",
        ),
        (
            "plain words ".encode("utf-16-be") * 600,
            {},
            "must hold UTF-8 text, got what looks like UTF-16, .* byte takes any",
        ),
        (b"ab" * 6000, {"context": 10**30}, r"`dataset.context` must be .* at most \d+, got 10+$"),
        (b"ab" * 6000, {"context": 500}, "must hold at least 50010 characters .*, got 12000 in"),
        (b"ab", {"context": 2.5}, r"`dataset.context` must be a whole number of at least 2, got 2.5"),
        (b"ab", {"limit": True}, r"`dataset.limit` must be a whole number of at least 1, got True"),
        (b"ab", {"context": 1}, "`dataset.context` must be a whole number of at least 2, got 1"),
        (b"ab", {"limit": 0}, "`dataset.limit` must be a whole number of at least 1, got 0"),
        (b"ab", {"level": "word"}, "`dataset.level` must be one of character, byte, got 'word'"),
    ],
)
def test_texts_that_cannot_be(tmp_path: Path, content: bytes | None, options: dict[str, Any], complaint: str) -> None:
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=complaint):
        Text(str(path), **options).load()
