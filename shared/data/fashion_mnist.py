"""Fashion-MNIST, 14,000 images of clothes in ten classes (Xiao, Rasul and Vollgraf 2017)."""

import io

import numpy as np

from shared.data import embedded


def read(entry: dict):
    """Images (14000, 28, 28) uint8 and labels (14000,), training and test rows pooled."""
    with np.load(io.BytesIO(embedded(entry)), allow_pickle=False) as file:
        images = np.concatenate([file["x_train"], file["x_test"]])
        return images, np.concatenate([file["y_train"], file["y_test"]])
