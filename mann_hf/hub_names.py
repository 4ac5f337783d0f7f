"""What names on the Hub look like."""

import re

HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
"""`owner/name`."""
HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
"""A name that may be without an owner, as a few old ones are."""
