import uuid
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from csf import clock
from csf.dates import local_date
from csf.web.own_pages import button_of
from enrollments.classes.waitlist import offers_end_at, waiting_places
from enrollments.families.signed_in import guardian, household_of
from enrollments.models import Course
from orders.cart import add_to_cart, remove_from_cart
from orders.catalog.sharing import description_of, structured_data
from orders.catalog.similar import similar_classes
from orders.forms import CatalogForm, LineForm
from orders.models import OrderItem
from orders.refusal import OrderRefused

CLASSES_ON_A_PAGE = 60


@login_not_required
def catalog(request: HttpRequest) -> HttpResponse:
    """Classes that are not over, narrowed by the filters, a page at a time."""
    now = clock.now()
    form = CatalogForm(request.GET)
    courses = form.narrow(Course.objects.for_catalog().offered(local_date(now)), now=now)
    courses = courses.prefetch_related("sessions")  # what is left of classes that have begun
    page = Paginator(courses, CLASSES_ON_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "orders/catalog.html", {"page": page, "form": form, "now": now})


@login_not_required
def course(request: HttpRequest, slug: str) -> HttpResponse:
    """The class page, with the form that puts a child into the cart."""
    parent = guardian(request)
    courses = Course.objects.visible_to(parent.household if parent else None).for_pages()
    found = get_object_or_404(courses.prefetch_related("sessions"), slug=slug)
    if request.method == "POST" and not request.user.is_authenticated:
        return _sign_in_again(request)
    form = _line_form(request, found) if parent else None
    if request.method == "POST" and form and form.is_valid():
        try:
            add_to_cart(
                household=household_of(request),
                child=form.cleaned_data["child"],
                course=found,
                now=clock.now(),
            )
        except OrderRefused as refusal:
            form.add_error("child", refusal.message)
        else:
            messages.success(
                request, f"{form.cleaned_data['child'].first_name} was added to your cart for {found}."
            )
            return redirect("cart")
    now = clock.now()
    context = {
        "course": found,
        "sessions": found.sessions.all(),
        "description": description_of(found),
        "structured_data": structured_data(found),
        "meetings": len(found.meetings()),
        "form": form,
        "is_open": found.is_open_at(now),
        "similar": similar_classes(found, children=form.children.values(), now=now)
        if form and form.children and not form.fitting
        else [],
        "now": now,
        "offer_hours": settings.OFFER_HOURS,
        "can_wait": offers_end_at(found, now=now) is not None,
        "waiting": waiting_places(household_of(request)).filter(course=found)
        if form and form.is_any_waiting
        else [],
    }
    return render(request, "orders/course.html", context)


def _line_form(request: HttpRequest, found: Course) -> LineForm:
    sent = request.POST if request.method == "POST" else None
    chosen = {"child": request.GET["child"]} if "child" in request.GET else None
    return LineForm(sent, initial=chosen, household=household_of(request), course=found, on=clock.today())


def _sign_in_again(request: HttpRequest) -> HttpResponse:
    """The session ended while the page was open: the page is shown again with the choice."""
    messages.info(request, "You were signed out. Sign in again: your choice is still there.")
    chosen = urlencode({"child": request.POST.get("child", "")})
    back = urlencode({"next": f"{request.path}?{chosen}#register"})
    return redirect(f"{reverse('account_login')}?{back}")


@button_of("cart")
def remove_line(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    lines = OrderItem.objects.filter(order__in=household_of(request).orders.carts())
    item = get_object_or_404(lines.select_related("order", "course"), public_id=public_id)
    remove_from_cart(cart=item.order, item=item)
    messages.info(request, f"{item.course} was removed from the cart.")
    return redirect("cart")
