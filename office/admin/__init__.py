from office.admin import courses, families, orders

__all__ = ["courses", "families", "orders"]
