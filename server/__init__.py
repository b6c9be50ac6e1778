"""The gRPC server: `app` puts it together, `lottery_service` and `audit_service` are its doors."""
