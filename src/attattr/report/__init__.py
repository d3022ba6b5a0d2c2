"""Views of a result or a study for readers: the terminal, figures for print, tables.

Imports everything below; computes nothing with a model. Another view goes here, and the page's into `page`.
"""
