"""Sphinx settings: Markdown pages, the furo theme, and a reference made of docstrings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import traceprobe

if TYPE_CHECKING:
    from docutils.nodes import Node, TextElement
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "traceprobe"
copyright = "2026, the traceprobe developers"
release = traceprobe.__version__
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"traceprobe {release}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autoclass_content = "class"
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Every reference to a name of ours must lead somewhere; those to other libraries are names only, and so
# are the few private classes that signatures name.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!traceprobe\b).*"),
    ("py:class", r"traceprobe\.(\w+\.)*_\w+\.\w+|traceprobe\.sockets\.factory\.SocketKey"),
]


def find_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: TextElement
) -> Node | None:
    """Lead ``traceprobe.model.Hop``, its home, to ``traceprobe.Hop``, which the reference describes."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target.startswith("traceprobe."):
        return None
    parts = target.split(".")
    python = env.get_domain("py")
    for home in ("traceprobe", "traceprobe.testing"):
        for start in range(1, len(parts)):
            name = ".".join([home, *parts[start:]])
            found = python.resolve_any_xref(env, node["refdoc"], app.builder, name, node, content)
            if name != target and found:
                return found[0][1]
    return None


def setup(app: Sphinx) -> None:
    """Register what is not an extension's."""
    app.connect("missing-reference", find_public_name)
