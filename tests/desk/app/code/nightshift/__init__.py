"""Stands for the product's package in the local cloud's own tests."""
