"""Attacks of providers who change the pictures of their own items.

What sees and purifies pictures is in `vision`.
"""
