"""The last section of docs/guides/cookbook.md: conversions of a real shop, django-oscar.

Oscar's own migrations make the tables, its own code places the orders. Then the blocks of the
section run in order: SQL by psql, Python here, with `checkout` and what it needs; a block of text
is the last thing that the block before it shows, apart from the width of columns. The environment
says where Postgres is (PGHOST, PGPORT, PGUSER, PGDATABASE). With UPDATE_DOCS set, what is shown is
written into the page.
"""

import os
import re
import subprocess
import sys
import warnings
from decimal import Decimal
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "cookbook.md"
SECTION = "## A real shop: django-oscar"


def start_oscar():
    import django
    from django.conf import settings
    from oscar import INSTALLED_APPS
    from oscar import defaults

    settings.configure(
        **{name: getattr(defaults, name) for name in dir(defaults) if name.isupper()},
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": os.environ["PGHOST"],
                "PORT": os.environ["PGPORT"],
                "USER": os.environ["PGUSER"],
                "NAME": os.environ["PGDATABASE"],
            }
        },
        INSTALLED_APPS=INSTALLED_APPS,
        HAYSTACK_CONNECTIONS={"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}},
        SECRET_KEY="opens nothing",
        SITE_ID=1,
        USE_TZ=True,
        TIME_ZONE="UTC",
    )
    django.setup()


class Shop:
    """A small assortment and a customer with an account."""

    def __init__(self):
        from django.contrib.auth import get_user_model
        from oscar.core.loading import get_class, get_model

        self.model, self.get_class = get_model, get_class
        self.kind = get_model("catalogue", "ProductClass").objects.create(name="Goods", track_stock=False)
        self.partner = get_model("partner", "Partner").objects.create(name="Warehouse")
        self.germany = get_model("address", "Country").objects.create(
            iso_3166_1_a2="DE", iso_3166_1_a3="DEU", iso_3166_1_numeric="276", printable_name="Germany", name="GERMANY"
        )
        self.mug = self.product("MUG-01", "Enamel mug", "9.90")
        self.pot = self.product("POT-11", "Cast-iron teapot", "64.00")
        self.erika = get_user_model().objects.create_user(
            "erika", "erika.mustermann@example.com", "a password", first_name="Erika", last_name="Mustermann"
        )

    def product(self, sku, title, price):
        product = self.model("catalogue", "Product").objects.create(
            product_class=self.kind, title=title, upc=sku, structure="standalone"
        )
        product.stockrecords.create(
            partner=self.partner, partner_sku=sku, price_currency="EUR", price=Decimal(price)
        )
        return product

    def basket(self, user, lines):
        basket = self.model("basket", "Basket").objects.create(owner=user)
        basket.strategy = self.get_class("partner.strategy", "UK")()      # goods plus 20 % tax
        for product, quantity in lines:
            basket.add_product(product, quantity)
        return basket

    def checkout(self, lines, user=None, guest_email="", paid=True):
        """Places an order as Oscar's checkout does, with a payment that was taken before."""
        from django.contrib.auth.models import AnonymousUser

        mixin = self.get_class("checkout.mixins", "OrderPlacementMixin")()
        basket = self.basket(user, lines)
        method = self.get_class("shipping.methods", "FixedPrice")(Decimal("4.00"), Decimal("4.80"))
        charge = method.calculate(basket)
        total = self.get_class("checkout.calculators", "OrderTotalCalculator")().calculate(basket, charge)
        address = {
            "first_name": "Erika", "last_name": "Mustermann", "line1": "Example street 1",
            "line4": "Berlin", "postcode": "10115", "country": self.germany,
        }
        if paid:
            kind, _ = self.model("payment", "SourceType").objects.get_or_create(name="Card")
            mixin.add_payment_source(self.model("payment", "Source")(
                source_type=kind, currency="EUR", amount_allocated=total.incl_tax, amount_debited=total.incl_tax))
            mixin.add_payment_event("Settled", total.incl_tax, reference="psp-1")
        order = mixin.place_order(
            order_number=mixin.generate_order_number(basket),
            user=user or AnonymousUser(),
            basket=basket,
            shipping_address=self.model("order", "ShippingAddress")(phone_number="+493023125042", **address),
            shipping_method=method,
            shipping_charge=charge,
            billing_address=self.model("order", "BillingAddress")(**address),
            order_total=total,
            request=None,
            **({"guest_email": guest_email} if guest_email else {}),
        )
        basket.submit()
        return order

    def settle(self, order):
        """The payment arrives later, by a message of the payment provider."""
        mixin = self.get_class("checkout.mixins", "OrderPlacementMixin")()
        mixin.add_payment_event("Settled", order.total_incl_tax, reference="psp-2")
        mixin.save_payment_details(order)


def blocks(page):
    """The section's blocks: kind, text, first and last line."""
    inside, kind = False, None
    for n, line in enumerate(page):
        if line.startswith("## "):
            inside = line == SECTION
        elif inside and line.startswith("```"):
            if kind is None:
                kind, first = line[3:], n + 1
            else:
                yield kind, "\n".join(page[first:n]) + "\n", first, n
                kind = None


def squeezed(text):
    lines = (re.sub(r"\s+", " ", line).strip() for line in text.splitlines())
    return [line for line in lines if line and not re.fullmatch(r"[-+]*--[-+]*", line)]


def psql(sql):
    done = subprocess.run(
        ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--pset=footer=off"],
        input=sql, text=True, capture_output=True, check=False,
    )
    if done.returncode:
        sys.exit(f"{sql}\n{done.stderr}")
    tables = done.stdout.strip("\n").split("\n\n")
    return "\n".join(line.rstrip() for line in tables[-1].splitlines())


def main():
    # Its search index is not wanted here.
    warnings.filterwarnings("ignore", module="haystack")
    start_oscar()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    shop = Shop()
    names = {name: getattr(shop, name) for name in ("checkout", "settle", "erika", "mug", "pot")}
    page = PAGE.read_text(encoding="utf-8").splitlines()
    shown, different, texts = None, [], 0
    for kind, text, first, last in list(blocks(page)):
        if kind == "sql":
            shown = psql(text)
        elif kind == "python":
            exec(compile(text, f"{PAGE.name}, line {first}", "exec"), names)  # noqa: S102
        elif kind == "text":
            texts += 1
            if squeezed(shown) != squeezed(text):
                different.append((first, last, text, shown))
        else:
            sys.exit(f"line {first}: a block of {kind!r} that nothing runs")
    if os.environ.get("UPDATE_DOCS"):
        for first, last, _, shown in reversed(different):
            page[first:last] = shown.splitlines()
        PAGE.write_text("\n".join(page) + "\n", encoding="utf-8")
        return
    for first, _, text, shown in different:
        print(f"{PAGE.name}, line {first}:\n{text}\nnow shows\n{shown}\n", file=sys.stderr)
    if different or not texts:
        sys.exit(1)


main()
