"""`python -m demo.standins`: run the Stripe and SendGrid stand-ins on loopback, until interrupted."""

import argparse
import asyncio
import signal
from pathlib import Path

from demo.standins.sendgrid.app import create_app as create_mail_app
from demo.standins.stripe.app import create_app as create_stripe_app
from demo.standins.stripe.serve import listen, run_app


def main() -> None:
    options = _options()
    try:
        stripe_socket, mail_socket = listen(options.stripe_port), listen(options.mail_port)
    except OSError as error:
        raise SystemExit(f"A port is taken: {error}") from error
    data: Path | None = options.data
    if data:
        data.mkdir(parents=True, exist_ok=True)
    stripe_url = f"http://127.0.0.1:{stripe_socket.getsockname()[1]}"
    key = options.event_key.read_text() if options.event_key else None
    stripe_app = create_stripe_app(data_dir=data, fresh=options.fresh, public_url=stripe_url)
    mail_app = create_mail_app(
        data_dir=data, fresh=options.fresh, event_url=options.events, private_key_pem=key
    )

    async def serve() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await asyncio.gather(run_app(stripe_app, stripe_socket, stop), run_app(mail_app, mail_socket, stop))

    asyncio.run(serve())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.standins", description=__doc__)
    parser.add_argument("--stripe-port", type=int, default=8001)
    parser.add_argument("--mail-port", type=int, default=8002)
    parser.add_argument("--data", type=Path, help="directory where their books survive a restart")
    parser.add_argument("--fresh", action="store_true", help="forget what the books say")
    parser.add_argument("--events", metavar="URL", help="where the mail stand-in posts its delivery events")
    parser.add_argument("--event-key", type=Path, metavar="PEM", help="private key that signs these events")
    return parser.parse_args()


if __name__ == "__main__":
    main()
