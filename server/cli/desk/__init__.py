"""Commands for referral coordinators: queues, referrals and the work list."""
