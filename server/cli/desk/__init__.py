"""Commands for referral coordinators."""
