"""The codes of every warning that a run can carry.

None of their messages names an account. A charter may name codes that hold a run as well (H1).
"""

from __future__ import annotations

from typing import Final

from lottery.intake.members import OTHER_MEMBERS_LEFT_OUT
from lottery.method.seed import LOW_PRECISION_COMPOSITE, ZERO_ASK

OCC_ACCOUNT_ON_ONE_SIDE: Final = "OCC_ACCOUNT_ON_ONE_SIDE"
"""Only one of notices and positions carries OCC accounts (P3)."""
OCC_SHORT_DIFFERS: Final = "OCC_SHORT_DIFFERS"
"""A pool's total is not OCC's own figure (P1)."""
OCC_SHORT_DIFFERS_MORE: Final = "OCC_SHORT_DIFFERS_MORE"
"""So many differ that the rest are counted."""

SEED_WARNINGS: Final = frozenset({ZERO_ASK, LOW_PRECISION_COMPOSITE})
OCC_SHORT_WARNINGS: Final = frozenset({OCC_SHORT_DIFFERS, OCC_SHORT_DIFFERS_MORE})
WARNINGS: Final = (
    SEED_WARNINGS | OCC_SHORT_WARNINGS | {OCC_ACCOUNT_ON_ONE_SIDE, OTHER_MEMBERS_LEFT_OUT}
)
