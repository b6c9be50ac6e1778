"""Reading the ledger back: `replay` computes runs again, `explain` shows a pool's working."""
