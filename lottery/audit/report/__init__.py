"""The audit page: `run_page` and `account_page` collect its values, `html` renders them."""
