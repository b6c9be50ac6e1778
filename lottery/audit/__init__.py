"""Reading the ledger back: `replay` computes runs again, `explain` shows a pool's working.

`verify` looks at the ledger itself, `bundle` takes a run out of it. The audit page is made of
values (`report`, `account_report`, with `shown_pools` and `masking`), geometry (`ribbon`,
`labels`), words (`wording`, which the terminal shares), and at last HTML (`page`).
"""
