"""The attribution itself: Attr(A) = A ⊙ ∫ ∂F(αA)/∂A dα, site by site. `integral` has the equation.

Imports `targets` and lower floors. How attention is got at is in `capture`.
"""
