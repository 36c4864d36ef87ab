"""Which orders emails are about."""

from orders.models import OrderStatus

ALIVE = [OrderStatus.PLACED, OrderStatus.CONFIRMED]
