"""Endurance: what stays behind after many connections, and after hours in which nothing happens.

``python -m tests.soak`` runs both at full length and prints what was counted; the tests run shorter ones.
"""
