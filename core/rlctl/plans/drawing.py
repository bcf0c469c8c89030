"""A plan as a picture: a tree of text, a flowchart for Mermaid, or SVG. Large plans are drawn by template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from attrs import frozen

from rlctl.plans.model import Plan

_MOST_DRAWN = 60
"""More boxes than these nobody reads: then a template is one box."""
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 230, 40, 70, 14, 16
_FILLS = {"run": "#dbeafe", "evaluate": "#dcfce7", "compare": "#fef9c3", "script": "#f3e8ff"}


@frozen
class _Box:
    name: str
    label: str
    kind: str
    needs: tuple[str, ...]


def tree(plan: Plan, states: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yield the lines of a tree: the members below the templates that they are of, with their states if these are known."""
    yield f"{plan.id}: {_count(len(plan.members), 'member')}"
    templates = list(plan.templates.values())
    for template in templates:
        last = template is templates[-1]
        members = plan.of_template[template.id]
        needs = ", ".join(dict.fromkeys((*template.needs, *template.sources)))
        single = members == (template.id,)
        what = template.kind if single else f"{template.kind}, {_count(len(members), 'member')}"
        state = f"  [{states[template.id]}]" if states and single else ""
        yield f"{'└─' if last else '├─'} {template.id}: {what}{', after ' + needs if needs else ''}{state}"
        for name in () if single else members:
            stem = "   " if last else "│  "
            state = f"  [{states[name]}]" if states else ""
            yield f"{stem}{'└─' if name == members[-1] else '├─'} {name}{state}"


def mermaid(plan: Plan) -> Iterator[str]:
    """Yield the lines of a flowchart in Mermaid's language."""
    boxes = _boxes(plan)
    number = {box.name: f"n{index}" for index, box in enumerate(boxes)}
    yield "flowchart LR"
    for box in boxes:
        label = f"{box.label}<br/>{box.kind}".replace('"', "'")
        yield f'  {number[box.name]}["{label}"]'
    for box in boxes:
        for name in box.needs:
            yield f"  {number[name]} --> {number[box.name]}"


def svg(plan: Plan) -> str:
    """Return a picture: each box to the right of those that it needs."""
    boxes = _boxes(plan)
    place: dict[str, tuple[int, int]] = {}
    depth: dict[str, int] = {}
    rows: dict[int, int] = {}
    for box in boxes:  # each comes after those that it needs
        column = depth[box.name] = 1 + max((depth[name] for name in box.needs), default=-1)
        row = rows[column] = rows.get(column, -1) + 1
        place[box.name] = (_MARGIN + column * (_WIDTH + _GAP_X), _MARGIN + row * (_HEIGHT + _GAP_Y))
    width = 2 * _MARGIN + max(x for x, _ in place.values()) + _WIDTH - _MARGIN
    height = 2 * _MARGIN + max(y for _, y in place.values()) + _HEIGHT - _MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">'
    ]
    for box in boxes:
        x, y = place[box.name]
        for name in box.needs:
            from_x, from_y = place[name][0] + _WIDTH, place[name][1] + _HEIGHT // 2
            middle = (from_x + x) // 2
            curve = f"M{from_x},{from_y} C{middle},{from_y} {middle},{y + _HEIGHT // 2} {x},{y + _HEIGHT // 2}"
            lines.append(f'<path d="{curve}" fill="none" stroke="#64748b"/>')
    for box in boxes:
        x, y = place[box.name]
        fill = _FILLS[box.kind]
        lines.append(
            f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="{fill}" stroke="#334155"/>'
        )
        label = box.label if len(box.label) <= 34 else box.label[:33] + "…"
        lines.append(f'<text x="{x + 10}" y="{y + 17}"><title>{escape(box.label)}</title>{escape(label)}</text>')
        lines.append(f'<text x="{x + 10}" y="{y + 32}" fill="#475569">{box.kind}</text>')
    return "\n".join([*lines, "</svg>"])


def _boxes(plan: Plan) -> list[_Box]:
    """Return what is drawn, each after those that it needs: the members, or the templates where there are too many."""
    if len(plan.members) <= _MOST_DRAWN:
        return [
            _Box(item.id, item.id, item.kind, tuple(one for name in item.needs for one in plan.expanded(name)))
            for item in plan.members.values()
        ]
    order = dict.fromkeys(member.template.id for member in plan.members.values())
    boxes = []
    for name in order:
        template = plan.templates[name]
        named = (one.partition(",")[0] for one in (*template.needs, *template.sources))
        count = len(plan.of_template[name])
        label = name if count == 1 else f"{name} ×{count}"
        boxes.append(_Box(name, label, template.kind, tuple(dict.fromkeys(named))))
    return boxes


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
