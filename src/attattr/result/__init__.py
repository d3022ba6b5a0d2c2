"""What an attribution is: plain numpy, without torch; its reductions, its tree, its file and JSON.

Imports `errors` and `disk`. The views of a result are made elsewhere: `to_html`, `show` and `_repr_html_`
call the page inside the function, the one import upwards.
"""
