from demo.standins.sendgrid import MailServer
from tests.demo.sendgrid_client import EventReceiver, a_mail, ask, send
from tests.waiting import wait_until


def test_books_and_messages_survive_a_restart(tmp_path):
    with EventReceiver() as receiver, MailServer(data_dir=tmp_path, event_url=receiver.url) as mail:
        send(mail, a_mail(subject="Zoë 🤸 <b>"))
        send(mail, a_mail("status503@example.org"))
        mail.wait_for_events()
        books, messages = mail.books(), mail.messages()

    with MailServer(data_dir=tmp_path) as mail:
        assert mail.books() == books
        assert mail.messages() == messages
        send(mail, a_mail())
        assert [r["id"] for r in mail.requests()] == [1, 2, 3]


def test_events_that_were_not_taken_are_posted_after_a_restart(tmp_path):
    refusing = EventReceiver(*[503] * 50)
    with refusing as receiver, MailServer(data_dir=tmp_path, event_url=receiver.url) as mail:
        mail.control(event_delay_ms=0, event_batch_ms=0)
        send(mail, a_mail())
        wait_until(lambda: receiver.posts)

    with EventReceiver() as receiver, MailServer(data_dir=tmp_path, event_url=receiver.url) as mail:
        mail.wait_for_events()
        assert receiver.names() == ["processed", "delivered"]


def test_fresh_empties(tmp_path):
    with MailServer(data_dir=tmp_path) as mail:
        send(mail, a_mail())

    with MailServer(data_dir=tmp_path, fresh=True) as mail:
        assert mail.requests() == []
    with MailServer(data_dir=tmp_path) as mail:
        assert mail.requests() == []


def test_reset_and_delete_survive_a_restart(tmp_path):
    with MailServer(data_dir=tmp_path) as mail:
        send(mail, a_mail("first@example.org"))
        mail.reset()
        send(mail, a_mail("second@example.org"))
        ask(mail, "POST", "/messages/delete", b"")
        send(mail, a_mail("third@example.org"))

    with MailServer(data_dir=tmp_path) as mail:
        assert [r["to"] for r in mail.requests()] == [["second@example.org"], ["third@example.org"]]
        assert [m["to"] for m in mail.messages()] == [["third@example.org"]]


def test_a_line_torn_by_a_kill_costs_only_itself(tmp_path):
    with MailServer(data_dir=tmp_path) as mail:
        send(mail, a_mail("first@example.org"))
        send(mail, a_mail("second@example.org"))
    path = tmp_path / "sendgrid.jsonl"
    path.write_bytes(path.read_bytes()[:-40])

    for wanted in (2, 3):
        with MailServer(data_dir=tmp_path) as mail:
            send(mail, a_mail())
            assert [r["id"] for r in mail.requests()] == list(range(1, wanted + 1))


def test_without_data_dir_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with MailServer() as mail:
        send(mail, a_mail())

    assert list(tmp_path.iterdir()) == []
