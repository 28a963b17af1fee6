"""Factors: what a person proves at a sign-in (password, codes, passkeys), and the confirmation of a change."""
