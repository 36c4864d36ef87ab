from django.urls import include, path

from billing.events import webhooks
from billing.pages import account, cart, orders, waitlist

# dj-stripe's admin and command line reverse this name in its namespace. Never include djstripe.urls itself:
# its view stores unsigned requests.
djstripe_urls = (
    [path("stripe/webhook/<uuid:uuid>/", webhooks.stripe_webhook, name="djstripe_webhook_by_uuid")],
    "djstripe",
)

urlpatterns = [
    path("", include(djstripe_urls)),
    path("classes/<slug:slug>/waitlist/", waitlist.join, name="join_waitlist"),
    path("account/waitlist/<uuid:public_id>/", waitlist.accept, name="accept_offer"),
    path("account/waitlist/<uuid:public_id>/leave/", waitlist.leave_waitlist, name="leave_waitlist"),
    path("offer/<str:token>/", waitlist.offer, name="offer"),
    path("offer/<str:token>/decline/", waitlist.decline_offer, name="decline_offer"),
    path("cart/", cart.cart, name="cart"),
    path("checkout/", orders.checkout, name="checkout"),
    path("account/", account.account, name="account"),
    path("account/card/", account.change_card, name="change_card"),
    path("account/card/<uuid:public_id>/stop/", account.stop_card, name="stop_card"),
    path(
        "account/installments/<uuid:public_id>/pay/",
        account.pay_own_installment,
        name="pay_own_installment",
    ),
    path("pay/<str:token>/", account.pay_installment, name="pay_installment"),
    path("account/orders/<uuid:public_id>/", orders.order, name="order"),
    path("account/orders/<uuid:public_id>/pay/", orders.pay, name="pay"),
    path("account/orders/<uuid:public_id>/cancel/", orders.cancel_order, name="cancel_order"),
    path("account/enrollments/<uuid:public_id>/cancel/", orders.cancel_enrollment, name="cancel_enrollment"),
    path("account/enrollments/<uuid:public_id>/offer/", orders.offer_place, name="offer_place"),
    path("account/enrollments/<uuid:public_id>/keep/", orders.keep_place, name="keep_place"),
]
