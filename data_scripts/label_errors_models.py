"""Make label_errors_models.npz: people's votes on the flags of ten test sets, and what released networks said.

The inputs are the votes, labels and predicted labels of cleanlab/label-errors and the predictions of 34 ImageNet and
13 CIFAR-10 networks of cgnorthcutt/benchmarking-keras-pytorch, pinned in label_errors_models.sha256. A prediction
becomes one bit an image (is it the given label? is it what the flagger predicts?) and, for the images that went to
people, a third one (is it the label that was suggested?).
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from common import DataError, Input, fetch, main, pack_npz

FILE = "label_errors_models.npz"
ERRORS = "https://raw.githubusercontent.com/cleanlab/label-errors/6d5d6b31a13216290afc40e5c6319399c4d15c06/"
MODELS = (
    "https://raw.githubusercontent.com/cgnorthcutt/benchmarking-keras-pytorch/74df938db0f266947abedb2ec9f741af65e2d8ed/"
)
PINS = [line.split() for line in Path(__file__).with_suffix(".sha256").read_text().splitlines()]
SETS = ("mnist", "cifar10", "cifar100", "caltech256", "imagenet", "quickdraw", "20news", "imdb", "amazon", "audioset")
SIZES = {  # of the test sets; the two of which only a sample of the flags went to people are left out
    "20news": "original_test_labels/20news_test_set_original_labels.npy",
    "audioset": "dataset_indexing/audioset_eval_set_index_to_youtube_id.json",
    "caltech256": "original_test_labels/caltech256_original_labels.npy",
    "cifar10": "original_test_labels/cifar10_test_set_original_labels.npy",
    "cifar100": "original_test_labels/cifar100_test_set_original_labels.npy",
    "imagenet": "original_test_labels/imagenet_val_set_original_labels.npy",
    "imdb": "original_test_labels/imdb_test_set_original_labels.npy",
    "mnist": "original_test_labels/mnist_test_set_original_labels.npy",
}


def build(source: Path | None) -> bytes:
    files = {}
    for pin, path in PINS:
        base = MODELS if "top5" in path else ERRORS
        name = path.rsplit("/", 1)[1]
        files[path] = fetch(Input(name, pin, (base + path,)), source)
    array = lambda path: np.load(io.BytesIO(files[path]), allow_pickle=False)  # noqa: E731
    made: dict[str, np.ndarray] = {"sets": np.array(SETS)}
    sizes = []
    for name in SETS:
        people = json.loads(files[f"mturk/{name}_mturk.json"])
        if name == "audioset":  # several labels: changed where those that three of five chose are not the given ones
            chosen = [{k for k, votes in p["mturk"].items() if votes >= 3} for p in people]
            changed = [set(p["given_original_labels"]) != c for p, c in zip(people, chosen)]
            made["audioset_changed"] = np.array(changed)
        else:
            if name == "amazon":
                votes = [
                    (p["mturk"][p["given_original_label"].lower()], p["mturk"][p["our_guessed_label"].lower()])
                    for p in people
                ]
            else:
                votes = [(p["mturk"]["given"], p["mturk"]["guessed"]) for p in people]
            made[f"{name}_votes"] = np.array(votes, np.uint8)
        path = SIZES.get(name, "")
        sizes.append(len(json.loads(files[path])) if path.endswith("json") else len(array(path)) if path else 0)
    made["sizes"] = np.array(sizes)
    for name, where in (("imagenet", "imagenet_val_set"), ("cifar10", "cifar10_test_set")):
        labels = array(f"original_test_labels/{where}_original_labels.npy").astype(int)
        flagger = array(f"cross_validated_predicted_labels/{where}_pyx_argmax_predicted_labels.npy").astype(int)
        people = json.loads(files[f"mturk/{name}_mturk.json"])
        rows = np.array([p["id"] for p in people])
        if name == "imagenet":  # ids there are file numbers
            order = json.loads(files["dataset_indexing/imagenet_val_set_index_to_filepath.json"])
            place = {path.rsplit("/", 1)[1]: i for i, path in enumerate(order)}
            rows = np.array([place[p["url"].rsplit("/", 1)[1]] for p in people])
        guess = np.array([p["our_guessed_label"] for p in people])
        given = np.array([p["given_original_label"] for p in people])
        if (labels[rows] != given).any() or (flagger[rows] != guess).any():
            raise DataError(f"Votes and labels of {name} do not fit each other.")
        names, hits = [], []
        for path in sorted(p for p in files if f"_{name}_top5preds" in p):
            top, probs = array(path), array(path.replace("preds", "probs"))
            predicted = top[np.arange(len(top)), probs.argmax(1)].astype(int)
            names.append(" ".join(path.rsplit("/", 1)[1].split(f"_{name}")[0].rsplit("_", 1)[::-1]))
            hits.append((predicted == labels, predicted == flagger, predicted[rows] == guess))
        made[f"{name}_models"] = np.array(names)
        made[f"{name}_rows"] = rows.astype(np.int32)
        for kind, bits in zip(("given", "flagger", "guess"), zip(*hits)):
            made[f"{name}_{kind}"] = np.packbits(np.array(bits), axis=1)
        made[f"{name}_flagger_given"] = np.packbits(flagger == labels)
    return pack_npz(made)


if __name__ == "__main__":
    main(FILE, __doc__, build)
