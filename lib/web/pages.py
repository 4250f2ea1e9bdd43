"""The first pages: plain HTML, no script, nothing from elsewhere, every name escaped."""

from __future__ import annotations

import base64
import hashlib

from fastapi.responses import HTMLResponse
from jinja2 import Environment

from lib.accounts.users import User

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 26rem; margin: 12vh auto; padding: 0 1rem; color: #1c2733; }
h1 { font-size: 1.4rem; margin-bottom: .2rem; } p { margin: .4rem 0 1rem; }
label { display: block; margin-top: .8rem; } a { color: #0b5cad; }
input { width: 100%; box-sizing: border-box; padding: .5rem; font: inherit; border: 1px solid #8a97a5; }
button { margin-top: 1.2rem; padding: .5rem 1.2rem; font: inherit; background: #0b5cad; color: #fff; border: 0; }
input:focus, button:focus, a:focus { outline: 3px solid #f2a900; } .problem { color: #a3181d; font-weight: 600; }
.do a { display: inline-block; padding: .5rem 1.2rem; background: #0b5cad; color: #fff; text-decoration: none; }
"""
_FRAME = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>renal-loop</title><style>{_STYLE}</style></head><body>
<h1>renal-loop</h1><p>Small renal masses on MRI. Not a medical device.</p>
"""
_LOGIN = """
{% if problem %}<p class="problem" role="alert">{{ problem }}</p>{% endif %}
{% if provider %}<p class="do">
<a href="/login/oidc?next={{ next_path | urlencode }}">Log in with your hospital's account</a></p>{% endif %}
{% if passwords %}<form method="post" action="/login">
<input type="hidden" name="next" value="{{ next_path }}">
<label for="username">User name</label>
<input id="username" name="username" autocomplete="username" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button>Log in</button></form>{% endif %}</body></html>"""
_START = """
{% if user.name %}<p>Logged in as <strong>{{ user.name }}</strong> ({{ user.role.title }}).</p>
{% else %}<p>No login is needed on this machine. <code>main.py users add</code> makes the server ask for one.</p>
{% endif %}
{% if notice %}<p class="problem">{{ notice }}</p>{% endif %}
{% if labels %}<p class="do"><a href="/ohif/next.html">Label the next case</a></p>{% endif %}
{% if user.role.title == "admin" %}<p><a href="/admin">What an admin sees</a></p>{% endif %}
<p><a href="/ohif/">{{ "Choose a study" if labels else "Open the viewer" }}</a> &middot;
<a href="/openapi.json">API description</a></p>
{% if user.name %}<form method="post" action="/logout"><button>Log out</button></form>{% endif %}</body></html>"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; img-src 'self'; style-src 'sha256-{_STYLE_HASH}'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
_TEMPLATES = Environment(autoescape=True)
_LOGIN_PAGE, _HOME_PAGE = _TEMPLATES.from_string(_FRAME + _LOGIN), _TEMPLATES.from_string(_FRAME + _START)


def login(
    *, next_path: str, problem: str = "", status: int = 200, passwords: bool = True, provider: bool = False
) -> HTMLResponse:
    """Where a person logs in.

    Args:
        next_path: Page of this server to open then.
        problem: Why the last attempt failed.
        status: HTTP status.
        passwords: Whether there are users with a password of their own here.
        provider: Whether people can log in elsewhere.
    """
    shown = _LOGIN_PAGE.render(next_path=next_path, problem=problem, passwords=passwords, provider=provider)
    return HTMLResponse(shown, status, headers=_HEADERS)


def home(user: User, *, notice: str, labels: bool) -> HTMLResponse:
    """The first page after the login.

    Args:
        user: Who is logged in.
        notice: What an admin should know; empty for nothing.
        labels: Whether cases can be labelled in the browser here.
    """
    return HTMLResponse(_HOME_PAGE.render(user=user, notice=notice, labels=labels), headers=_HEADERS)
