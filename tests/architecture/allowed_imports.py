"""A kind of import rule: what is not listed may not be imported.

Import-linter's own `forbidden` names what is bad, so the next bad thing passes until somebody
thinks of it. Here the list names what is good. `.importlinter` uses it under the type `allowed`.
"""

import sys
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output
from importlinter.domain.helpers import module_expressions_to_modules

STANDARD_LIBRARY = "standard-library"


class AllowedImports(Contract):
    """Modules that may import only their own package and what is listed.

    Options: `source_modules` (with everything below them), `allowed_modules` (exact names, or
    `standard-library` for all of it), and `among`: if given, only imports of these packages are
    looked at. Only direct imports are looked at: what is allowed has a rule of its own.
    """

    type_name = "allowed"

    source_modules = fields.SetField(subfield=fields.ModuleExpressionField())
    allowed_modules = fields.SetField(subfield=fields.StringField(), required=False)
    among = fields.SetField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Return every direct import that the list does not allow."""
        output.verbose_print(verbose, f"Looking for imports that {self.name!r} does not list…")
        allowed: set[str] = set(cast("set[str] | None", self.allowed_modules) or ())
        if STANDARD_LIBRARY in allowed:
            allowed |= sys.stdlib_module_names
        among: set[str] = set(cast("set[str] | None", self.among) or ())
        sources = module_expressions_to_modules(graph, self.source_modules)  # type: ignore[arg-type]
        found = set()
        for source in sorted(module.name for module in sources):
            for importer in {source, *graph.find_descendants(source)}:
                for imported in graph.find_modules_directly_imported_by(importer):
                    if imported in allowed or _is_in(imported, source):
                        continue
                    if among and not any(_is_in(imported, package) for package in among):
                        continue
                    found.add((importer, imported))
        return ContractCheck(
            kept=not found,
            metadata={
                "found": [
                    (importer, imported, _lines(graph, importer, imported))
                    for importer, imported in sorted(found)
                ]
            },
        )

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Say which file imports what, and where."""
        for importer, imported, lines in check.metadata["found"]:
            output.print_error(f"{importer} may not import {imported} ({lines})", bold=False)
        output.new_line()


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _lines(graph: ImportGraph, importer: str, imported: str) -> str:
    details = graph.get_import_details(importer=importer, imported=imported)
    return ", ".join(f"l.{number}" for number in sorted({d["line_number"] for d in details}))
