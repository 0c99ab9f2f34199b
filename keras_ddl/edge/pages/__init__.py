"""HTML pages as single files: one shell, one style sheet, and tables, from Jinja templates.

`templates/` holds what every page shares; the template of one page lies in the `templates` folder
beside the module that fills it, so that a device carries no page of the training. What a page
shows is plain text and escaped; only what is `Markup`, or marked `| safe` in a template, is HTML.
"""

from keras_ddl.edge.pages.render import render, style_sheet
from keras_ddl.edge.pages.table import Cell, Row, Small, Table

__all__ = ["Cell", "Row", "Small", "Table", "render", "style_sheet"]
