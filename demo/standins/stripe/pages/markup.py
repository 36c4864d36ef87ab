"""The HTML of the pages. No scripts, nothing loaded from elsewhere."""

import time
from html import escape
from pathlib import Path

from demo.standins.stripe.customers.cards import TEST_CARDS
from demo.standins.stripe.objects import books
from demo.standins.stripe.objects.store import Obj, Store

STYLE = Path(__file__).with_name("style.css").read_text()
SHOWN_ROWS = 50
AMOUNTS = ("amount", "amount_total", "amount_due", "amount_requested")


def checkout(session: Obj, items: list[Obj], problem: str = "") -> str:
    end = f'<p class="soft">This page expires at {_moment(session["expires_at"])}.</p>'
    if session["mode"] == "setup":
        top = "<section><h1>Save a card</h1><p>Nothing is charged now.</p></section>"
        return _document("Checkout", f"{top}{_card_form('Save card', problem)}{_leave(session)}{end}")
    total = money(session["amount_total"], session["currency"])
    top = f"""<section><h1>Pay {total}</h1><table>{"".join(_item_row(item) for item in items)}
<tr class="total"><td>Total</td><td class="money">{total}</td></tr></table></section>"""
    return _document("Checkout", f"{top}{_card_form(f'Pay {total}', problem)}{_leave(session)}{end}")


def invoice(invoice: Obj, saved: list[Obj], problem: str = "") -> str:
    """`saved`: the payment methods of the customer."""
    total = money(invoice["amount_due"], invoice["currency"])
    rows = "".join(
        f"<tr><td>{escape(line['description'] or '')}</td>"
        f'<td class="money">{money(line["amount"], line["currency"])}</td></tr>'
        for line in invoice["lines"]["data"]
    )
    top = f"""<section><h1>Invoice {escape(invoice["number"])}: {total}</h1>
<p>State: <b>{escape(invoice["status"])}</b></p><table>{rows}
<tr class="total"><td>Total</td><td class="money">{total}</td></tr></table></section>"""
    if invoice["status"] in ("paid", "void"):
        return _document("Invoice", top)
    return _document("Invoice", f"{top}{_saved_cards(saved, total)}{_card_form(f'Pay {total}', problem)}")


def _saved_cards(saved: list[Obj], total: str) -> str:
    buttons = "".join(
        f'<form method="post"><button class="main" name="saved" value="{escape(method["id"])}">'
        f"Pay {total} with the saved card ending in {escape(method['card']['last4'])}</button></form>"
        for method in saved
    )
    return f"<section>{buttons}</section>" if saved else ""


def _leave(session: Obj) -> str:
    back = session["cancel_url"]
    return f'<p><a href="{escape(back)}">Back to the shop</a></p>' if back else ""


def _card_form(action: str, problem: str) -> str:
    trouble = f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""
    return f"""
<section>{trouble}<form method="post">
<label for="card">Card number</label>
<input id="card" name="card" inputmode="numeric" autocomplete="off"
 placeholder="4242 4242 4242 4242" required>
<button class="main">{action}</button></form></section>
<section><h2>Or a test card</h2><div class="cards">{"".join(_card_buttons())}</div></section>"""


def authentication(amount: str | None) -> str:
    what = f"a payment of <b>{amount}</b>" if amount else "your card"
    body = f"""
<section><h1>3-D Secure</h1><p>Your bank asks you to confirm {what}.</p>
<form method="post" class="row">
<button name="result" value="pass">Complete authentication</button>
<button name="result" value="fail">Fail authentication</button></form></section>"""
    return _document("3-D Secure", body)


def expired(session: Obj) -> str:
    back = session["cancel_url"]
    leave = f'<p><a href="{escape(back)}">Back to the shop</a></p>' if back else ""
    return _document(
        "Expired", f"<section><h1>This checkout has expired</h1><p>No money moved.</p>{leave}</section>"
    )


def index(store: Store, faults: list[Obj]) -> str:
    body = "".join(
        (
            _clock_section(store),
            _section("Faults", ["kind", "target", "on", "times"], [_fault_row(fault) for fault in faults]),
            _section("Events", ["created", "type", "object", "deliveries", ""], _event_rows(store)),
            _section("Objects", ["created", "object", "id", "status", "amount"], _object_rows(store)),
        )
    )
    return _document("Stripe stand-in", body, wide=True)


def money(cents: int, currency: str) -> str:
    return f"{cents / 100:,.2f} {escape(currency.upper())}"


def _document(title: str, body: str, *, wide: bool = False) -> str:
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} - Stripe stand-in</title><style>{STYLE}</style></head>
<body><header><b>Stripe stand-in</b> &middot; a local test page, no real card and no real money</header>
<main{' class="wide"' if wide else ""}>{body}</main></body></html>"""


def _item_row(item: Obj) -> str:
    times = f" &times; {item['quantity']}" if item["quantity"] != 1 else ""
    cents = money(item["amount_total"], item["currency"])
    return f'<tr><td>{escape(item["description"])}{times}</td><td class="money">{cents}</td></tr>'


def _card_buttons() -> list[str]:
    return [
        f'<form method="post"><input type="hidden" name="card" value="{card.number}">'
        f"<button>{escape(card.label)}<small>{card.spaced}</small></button></form>"
        for card in TEST_CARDS
    ]


def _clock_section(store: Store) -> str:
    steps = (("advance", 3600, "+ 1 hour"), ("advance", 86400, "+ 1 day"), ("now", "", "Real time"))
    buttons = "".join(
        _button("/_clock", text, f'name="{name}" value="{value}"') for name, value, text in steps
    )
    return f"""<section><h1>Stripe stand-in</h1><p>Its clock says <b>{_moment(store.now())}</b>.</p>
<div class="row">{buttons}</div></section>"""


def _button(action: str, label: str, attributes: str = "") -> str:
    return f'<form method="post" action="{escape(action)}"><button {attributes}>{label}</button></form>'


def _section(title: str, names: list[str], rows: list[str]) -> str:
    heads = "".join(f"<th>{name}</th>" for name in names)
    table = f'<div class="scroll"><table><tr>{heads}</tr>{"".join(rows)}</table></div>'
    return f"<section><h2>{title}</h2>{table if rows else '<p class=soft>None.</p>'}</section>"


def _fault_row(fault: Obj) -> str:
    target = f"{fault['method']} {fault['path']}" if fault["target"] == "api" else fault["type"]
    times = "until cleared" if fault["times"] is None else f"{fault['times']} more"
    return _row(escape(fault["kind"]), fault["target"], escape(target), times)


def _event_rows(store: Store) -> list[str]:
    return [
        _row(
            _moment(event["created"]),
            escape(event["type"]),
            f"<code>{escape(str(event['object']))}</code>",
            ", ".join(_delivery(delivery) for delivery in event["deliveries"].values()) or "no endpoint",
            _button(f"/_events/{event['id']}/resend", "Resend"),
        )
        for event in books.events(store)[: -SHOWN_ROWS - 1 : -1]
    ]


def _delivery(delivery: Obj) -> str:
    attempts = delivery["attempts"]
    answers = ", ".join(str(attempt["status"] or "no answer") for attempt in attempts[-3:])
    return escape(f"{delivery['state']} ({answers})" if attempts else delivery["state"])


def _object_rows(store: Store) -> list[str]:
    objects = [
        row
        for rows in store.tables.values()
        for row in rows.values()
        if row.get("object", "event") != "event"
    ]
    newest = sorted(objects, key=_created, reverse=True)[:SHOWN_ROWS]
    return [
        _row(
            _moment(_created(obj)),
            escape(obj["object"]),
            f"<code>{escape(obj['id'])}</code>",
            escape(str(obj.get("status", ""))),
            _amount(obj),
        )
        for obj in newest
    ]


def _created(obj: Obj) -> int:
    return int(obj["date"] if obj["object"] == "invoiceitem" else obj["created"])


def _amount(obj: Obj) -> str:
    cents = next((obj[name] for name in AMOUNTS if obj.get(name) is not None), None)
    return money(cents, obj["currency"]) if cents is not None else ""


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _moment(epoch: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(epoch))
