"""What somebody adds from outside the package, at addresses that its tables can name."""

from reports.views.views import View


def counted_view(table, _loader):
    """A view that counts the arms."""
    return View(title="Arms, counted", caption=f"{len(table.plan.arms)} arms.", absent="Nothing to draw.")
