"""Reading the ledger back.

`replay` computes runs again, `explain` shows a pool's working, `verify` checks the ledger itself,
`bundle` exports a run with its proof, `seeds` looks at the fractions of many dates, and `report`
makes the audit page. `wording` has the sentences that terminal and page share.
"""
