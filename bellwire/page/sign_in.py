"""The page at which people show their token: plain HTML, which works without scripts.

Owns its words. Refuses to keep what was typed: a refused token is not shown again.
"""

from html import escape
from typing import Final

from bellwire.page.palette import style_variables

STYLE: Final = """
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--ground);color:var(--text);
 font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{width:min(26rem,calc(100vw - 2rem));padding:2rem;background:var(--surface);border:1px solid var(--line);
 border-radius:12px}
h1{margin:0 0 .25rem;font-size:1.35rem;font-weight:600}
p{margin:0 0 1.25rem;color:var(--quiet)}
label{display:block;margin-bottom:.375rem;font-weight:500}
input{width:100%;padding:.625rem .75rem;font:inherit;color:var(--text);background:var(--ground);
 border:1px solid var(--quiet);border-radius:8px}
button{width:100%;margin-top:1rem;padding:.625rem;font:inherit;font-weight:600;color:var(--on-accent);
 background:var(--accent);border:0;border-radius:8px;cursor:pointer}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.refused{padding:.625rem .75rem;color:var(--bad);background:var(--bad-wash);border-radius:8px}
code{font-size:.9em}
.after{margin:1.25rem 0 0;font-size:.9rem}
"""


def sign_in_page(lab: str, refusal: str = "") -> str:
    """The document. `refusal`: why the last try opened nothing."""
    refused = f'<p class="refused" role="alert">{escape(refusal)}</p>' if refusal else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>Sign in · {escape(lab)} · bellwire</title><style>{style_variables()}{STYLE}</style></head>
<body><main><h1>{escape(lab)}</h1><p>Sign in to see and operate this lab.</p>{refused}
<form method="post" action="/sign-in"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus
 spellcheck="false"><button type="submit">Sign in</button></form>
<p class="after">Tokens are made by <code>bellwire tokens new NAME</code> on the computer of the lab.</p>
</main></body></html>"""
