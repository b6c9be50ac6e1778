"""What every ledger promises, whichever database decides and wherever its objects lie."""
