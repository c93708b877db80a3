"""Which product is calling: ``--product`` says it; else the product's own signs; else it is a generic call."""

# ruff: noqa: ARG002 - every product has the same signatures, whatever it needs of them
from __future__ import annotations

from collections.abc import Mapping, Sequence

from splitmirror_drivers.contracts.product import Hook, Invocation, Product
from splitmirror_drivers.kit.errors import UsageFault
from splitmirror_drivers.products.arguments import explicit_product
from splitmirror_drivers.products.generic import Generic


def recognise(
    hook: Hook, argv: Sequence[str], environment: Mapping[str, str], products: Mapping[str, Product]
) -> Product:
    """The product of a call; never fails. One that nobody knows is answered like a generic call, with a UsageFault."""
    wanted = explicit_product(argv)
    if wanted:
        return products.get(wanted) or Unknown(wanted, sorted(products))
    for product in products.values():
        if product.is_calling(hook, argv, environment):
            return product
    return products.get(Generic.name) or Generic()


class Unknown(Generic):
    """A ``--product`` that is in no table."""

    def __init__(self, wanted: str, known: Sequence[str]) -> None:
        self.wanted = wanted
        self.known = tuple(known)

    def invocation(self, hook: Hook, argv: Sequence[str], environment: Mapping[str, str]) -> Invocation:
        """Raises UsageFault naming what there is."""
        raise UsageFault(f"there is no product {self.wanted!r}", hint=f"the products are: {', '.join(self.known)}")
