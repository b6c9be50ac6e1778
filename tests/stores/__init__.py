"""The ledger's adapters, against the services that they are for."""
