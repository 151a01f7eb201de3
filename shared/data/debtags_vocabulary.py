"""The vocabulary of Debian's tags with their descriptions."""

from shared.data import embedded


def read(entry: dict) -> dict[str, str]:
    """Tag -> its short description, such as "game::chess" -> "Chess"."""
    tags = {}
    for stanza in embedded(entry).decode("utf-8").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[:1] != " ")
        if "Tag" in fields:
            tags[fields["Tag"]] = fields.get("Description", "").strip()
    return tags
