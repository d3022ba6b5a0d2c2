"""The attribution itself: Attr(A) = A ⊙ ∫ ∂F(αA)/∂A dα, site by site. `integral` has the equation.

Imports `data`, `models` and `result`. What F may be is in `targets`; how attention is got at in `capture`.
"""
