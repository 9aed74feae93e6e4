"""Datasets: one contract for all, the split of each, and what is said about files that are missing or malformed."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nasjac.datasets import DATASETS, Data, Dataset, Digits, FashionMnist, standardized

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


@pytest.fixture(params=DATASETS)
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    write_fashion(tmp_path)
    options = {"fashion_mnist": {"root": str(tmp_path)}}.get(request.param, {})
    made: Dataset = DATASETS[request.param](**options)
    assert made.name == request.param
    return made


def test_contract(dataset: Dataset) -> None:
    data, again = dataset.load(), dataset.load()
    assert data.train_inputs.mean(dim=0).abs().max() < 1e-5
    assert data.train_inputs.square().mean().item() == pytest.approx(1, abs=1e-5)
    for inputs, labels in ((data.train_inputs, data.train_labels), (data.valid_inputs, data.valid_labels)):
        assert inputs.dtype == torch.float32 and labels.dtype == torch.int64
        assert inputs.shape == (len(labels), data.inputs) and inputs.isfinite().all()
        assert labels.min() >= 0 and labels.max() < data.outputs
    assert torch.equal(data.valid_inputs, again.valid_inputs) and torch.equal(data.train_labels, again.train_labels)


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
    with pytest.raises(ValueError, match="40 equal training inputs"):
        standardized(torch.ones(50, 4), torch.arange(50), valid, outputs=50)


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
        (LABELS, idx(np.zeros(10_011)), "10011"),
        (LABELS, idx(np.full(10_012, 10)), "labels below 10, got 10"),
        (f"{LABELS}.gz", b"\x1f\x8b broken", "readable IDX files"),
        (f"{LABELS}.gz", gzip.compress(idx(np.zeros(10_012)), mtime=0)[:-20], "readable IDX files"),
    ],
)
def test_malformed_files(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    write_fashion(tmp_path)
    (tmp_path / name.removesuffix(".gz")).unlink()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=complaint):
        fashion(tmp_path)


def test_too_few_images_to_validate(tmp_path: Path) -> None:
    write_fashion(tmp_path, count=10_000)
    with pytest.raises(ValueError, match="n over 10000"):
        fashion(tmp_path)
