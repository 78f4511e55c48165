"""Reads vaults, written from docs/format.md alone: a second opinion on what that page says.

Whatever is broken raises `notation.Broken`; nothing is repaired, guessed or passed over.
"""
