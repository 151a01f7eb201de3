"""What a paper is: its notebook, its hashes, its pairing, its registration. Imports nothing of the other rooms."""
