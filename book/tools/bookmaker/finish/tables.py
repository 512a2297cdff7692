"""Tables of finished pages: heads that say what they are heads of, a caption, and a box that scrolls.

Tables of notebooks and of Markdown come here alike, so that this is the one place that owns it.
"""

from __future__ import annotations

from bs4 import BeautifulSoup, Tag

#: From so many columns on, a notebook's table takes the width of the window.
MANY = 7
#: Up to so many columns, a table of prose becomes a list of cards on a phone.
FEW = 4
LISTS = {"indextable", "modindextable", "genindextable"}


def finish_tables(page: BeautifulSoup) -> None:
    """Finishes all tables of a page, in place."""
    for table in page.find_all("table"):
        if LISTS & set(table.get_attribute_list("class")):
            table["role"] = "presentation"
            continue
        _scopes(table)
        _caption(page, table)
        _box(page, table)
        if "docutils" in table.get_attribute_list("class"):
            _cards(table)


def _scopes(table: Tag) -> None:
    for cell in table.select("thead th"):
        if cell.get_text(strip=True):
            cell["scope"] = "colgroup" if cell.get("colspan", "1") != "1" else "col"
        else:
            cell.name = "td"
    for row in table.find_all("tr"):
        first = row.find(["td", "th"])
        if isinstance(first, Tag) and not row.find_parent("thead") and first.get_text(strip=True):
            first.name = "th"
            first["scope"] = "row"


def _caption(page: BeautifulSoup, table: Tag) -> None:
    """The title of the box or section that a table stands in, for those who do not see that it stands there."""
    if table.find("caption"):
        return
    box = table.find_parent("details")
    title = box.find("summary") if box else table.find_previous(["h1", "h2", "h3", "h4"])
    caption = page.new_tag("caption", attrs={"class": "visually-hidden"})
    caption.string = title.get_text().rstrip("#").strip() if isinstance(title, Tag) else "Table"
    table.insert(0, caption)


def _box(page: BeautifulSoup, table: Tag) -> None:
    box = table.parent
    if box is None or table.find_parent("details", class_="budget"):
        return
    if "pst-scrollable-table-container" not in box.get_attribute_list("class"):
        box = table.wrap(page.new_tag("div"))
    add_class(box, "scrolls")
    cell = table.find_parent("div", class_="cell")
    if isinstance(cell, Tag) and columns(table) >= MANY:
        widen(cell)


def columns(table: Tag) -> int:
    """How many columns a table has."""
    return max((len(row.find_all(["td", "th"], recursive=False)) for row in table.find_all("tr")), default=0)


def widen(cell: Tag) -> None:
    """Lets a cell of a notebook take the width of the window; the theme then makes room in the margin."""
    add_class(cell, "tag_full-width")


def add_class(tag: Tag, name: str) -> None:
    """Adds a class, once."""
    names = [one for one in tag.get_attribute_list("class") if one and one != name]
    tag["class"] = " ".join([*names, name])


def _cards(table: Tag) -> None:
    """Says in each cell below which head it stands; the roles stay when the style sheet makes blocks of rows."""
    heads = [head.get_text(" ", strip=True) for head in table.select("thead tr:last-child > *")]
    if not 2 <= len(heads) <= FEW:
        return
    add_class(table, "cards")
    roles = {"table": "table", "thead": "rowgroup", "tbody": "rowgroup", "tr": "row", "td": "cell"}
    for part in [table, *table.find_all(["thead", "tbody", "tr", "td", "th"])]:
        scope = str(part.get("scope", ""))
        part["role"] = roles.get(part.name) or ("rowheader" if scope == "row" else "columnheader")
    for row in table.select("tbody tr"):
        for head, cell in zip(heads, row.find_all(["td", "th"], recursive=False), strict=False):
            if head and cell.name == "td":
                cell["data-head"] = head
