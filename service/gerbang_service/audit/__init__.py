"""The audit log: who did what to whom, and what was answered; append-only, and chained so that changes show."""
