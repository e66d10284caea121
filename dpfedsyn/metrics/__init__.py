"""How good synthetic rows are: utility, similarity, and closeness to real records.

Everything here reads real records without noise. The numbers are an internal evaluation, are not
covered by any privacy statement, and must not leave the silos as if they were.
"""
