"""The citation graph Citeseer, one of those of shared/data/planetoid.py."""

from shared.data.planetoid import read as read
