"""Who a browser is: links, cookies, the other half of a cookie, and how all that ends."""

from __future__ import annotations

import pytest

from hotplug_web import Limits, Principal, TokenAuthenticator
from web_site import ADA


def test_a_link_works_once(plain):
    """
    Its token is exchanged for a cookie that no script and no other page gets; a second time it is nothing.
    """
    world = plain
    token = world.app.state.invite()
    answer = world.post("/api/session", {"token": token})

    assert answer.status == 200
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie
    assert token not in cookie
    assert world.post("/api/session", {"token": token}).status == 401


@pytest.mark.parametrize(("origin", "secure"), [("https", True), ("http", False)])
def test_a_cookie_of_a_page_by_tls_stays_on_tls(plain, origin, secure):
    """
    Also where somebody else speaks TLS before this server.
    """
    place = f"{origin}://127.0.0.1:{plain.port}"
    answer = plain.post("/api/session", {"token": plain.app.state.invite()}, headers={"Origin": place})

    assert ("; secure" in answer.headers["set-cookie"].lower()) is secure


def test_the_cookie_stands_for_its_user(plain):
    """
    Who comes with it is told who that is, and the token that has to go with what is done.
    """
    world = plain
    cookie, csrf = world.log_in("ada", ["read"])

    answer = world.get("/api/session", headers=cookie)

    assert answer.json == {
        "user": "ada",
        "scopes": ["read"],
        "expires_at": answer.json["expires_at"],
        "csrf": csrf,
    }
    assert world.get("/api/plugins", headers=cookie).status == 200


def test_a_token_may_be_exchanged_as_well(site):
    """
    Where tokens are known, a browser gets its cookie for one, and keeps it no longer than that holds.
    """
    authenticator = TokenAuthenticator({ADA: Principal("ada")})
    world = site(authenticate=authenticator)
    cookie = {"Cookie": world.post("/api/session", {"token": ADA}).cookie}
    assert world.get("/api/session", headers=cookie).status == 200

    authenticator.revoke("ada")

    assert world.get("/api/session", headers=cookie).status == 401


def test_what_is_done_with_a_cookie_needs_its_other_half(site, tool):
    """
    Without X-CSRF-Token, or with a wrong one, nothing is done: 403.
    """
    tool()
    world = site()
    cookie, csrf = world.log_in()

    def reload(**sent):
        return world.post("/api/reload", {"distribution": "acme-adder"}, headers={**cookie, **sent}).status

    assert reload() == 403
    for token in ("", "wrong", csrf[:-1], "äöü".encode()):
        assert reload(**{"X-CSRF-Token": token}) == 403
    assert reload(**{"X-CSRF-Token": csrf}) == 200


def test_the_other_half_of_another_session_does_not_fit(plain):
    """
    A token goes with one cookie.
    """
    world = plain
    (mine, _), (_, theirs) = world.log_in(), world.log_in()

    answer = world.ask("DELETE", "/api/session", headers={**mine, "X-CSRF-Token": theirs})

    assert answer.status == 403


def test_logging_out_ends_the_session(plain):
    """
    The cookie is nobody's afterwards.
    """
    world = plain
    cookie, csrf = world.log_in()

    assert world.ask("DELETE", "/api/session", headers={**cookie, "X-CSRF-Token": csrf}).status == 204
    assert world.get("/api/session", headers=cookie).status == 401


def test_disconnect_ends_sessions_and_links(site):
    """
    Who is revoked does not come back with a cookie, nor with a link that was not used yet.
    """
    world = site()
    cookie, _ = world.log_in("ada")
    link = world.app.state.invite("ada")
    world.app.state.disconnect("ada")

    assert world.get("/api/session", headers=cookie).status == 401
    assert world.post("/api/session", {"token": link}).status == 401


def test_sessions_outlive_the_server(site):
    """
    After a restart a browser is still logged in; the file holds no secret, and nobody else reads it.
    """
    first = site()
    cookie, _ = first.log_in()
    name, _, secret = cookie["Cookie"].partition("=")
    file = first.host.data / "web" / "sessions.json"
    second = site()

    renamed = {"Cookie": f"{name.replace(str(first.port), str(second.port))}={secret}"}
    assert second.get("/api/session", headers=renamed).status == 200
    assert secret not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_a_broken_file_of_sessions_lets_nobody_in_and_breaks_nothing(site):
    """
    Whatever stands in it, who comes has to log in anew, and can.
    """
    world = site()
    cookie, _ = world.log_in()
    file = world.host.data / "web" / "sessions.json"
    file.write_text('{"x": [1]}')

    assert world.get("/api/session", headers=cookie).status == 401
    again, _ = world.log_in()
    assert world.get("/api/session", headers=again).status == 200


def test_a_session_ends_by_itself(site):
    """
    Its time is limited, and so is that of a connection that came in with it.
    """
    world = site(session_seconds=0.7)
    cookie, _ = world.log_in()
    client = world.connect(additional_headers=cookie, origin=f"http://127.0.0.1:{world.port}")

    assert client.close_code() == 4401
    assert world.get("/api/session", headers=cookie).status == 401


def test_a_flood_of_forged_tokens_is_slowed_and_right_ones_come_in(site):
    """
    After many attempts of an address the answer is 429; who knows a token is let in all the same.
    """
    world = site(limits=Limits(burst=1, logins=0.001))
    statuses = [world.get("/api/session", token="forged").status for _ in range(5)]

    assert statuses == [401, 401, 401, 429, 429]
    assert world.get("/api/session", token=ADA).status == 200


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("{}", {}, 400),
        ("[]", {}, 400),
        ("{", {}, 400),
        ("[" * 900, {}, 400),
        ('{"token": 1}', {}, 400),
        ('{"token": "x"}', {"Content-Type": "text/plain"}, 415),
        ('{"token": "' + "x" * 2000 + '"}', {}, 413),
    ],
)
def test_malformed_bodies_are_refused(plain, body, headers, status):
    """
    What is no JSON object of the right sort and size is said to be so.
    """
    world = plain

    assert world.post("/api/session", body, headers=headers).status == status


def test_what_is_not_there_is_said_in_json(plain):
    """
    Unknown paths and wrong methods are answered as everything is.
    """
    world = plain

    assert world.get("/nowhere").json == {"error": "Not Found"}
    assert world.get("/api/halt").status == 405


def test_an_authenticator_that_raises_lets_nobody_in(site, caplog):
    """
    Neither its error nor its text reaches anybody.
    """

    def authenticate(knock):
        raise ValueError(f"no such token: {knock.headers['authorization']}")

    answer = site(authenticate=authenticate).get("/api/session", token=ADA)

    assert answer.status == 401
    assert ADA not in caplog.text + answer.body.decode()


def test_an_authenticator_that_answers_nonsense_lets_nobody_in(site):
    """
    A user's name is no principal.
    """
    assert site(authenticate=lambda knock: "ada").get("/api/session", token=ADA).status == 401


def test_without_an_authenticator_only_links_let_in(site):
    """
    No token is known by default.
    """
    world = site(authenticate=None)

    assert world.get("/api/session", token=ADA).status == 401
    cookie, _ = world.log_in()
    assert world.get("/api/session", headers=cookie).status == 200


def test_an_own_way_to_come_in_needs_the_other_half_too(site, tool):
    """
    Whoever is recognised by what browsers send by themselves proves with X-CSRF-Token that it means it.
    """
    tool()

    async def authenticate(knock):
        return Principal("ada", {"admin"}) if "company=1" in knock.headers.get("cookie", "") else None

    world = site(authenticate=authenticate)
    cookie = {"Cookie": "company=1"}
    csrf = world.get("/api/session", headers=cookie).json["csrf"]

    def reload(**headers):
        return world.post("/api/reload", {"distribution": "acme-adder"}, headers={**cookie, **headers}).status

    assert reload() == 403
    assert reload(**{"X-CSRF-Token": csrf}) == 200
