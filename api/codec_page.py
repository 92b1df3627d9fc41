"""The login page of the codec: one field, no outside resources, its own script and style named by hash."""

import base64
import hashlib

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 30rem; margin: 12vh auto; padding: 0 1.25rem; }
label, input, button { display: block; width: 100%; box-sizing: border-box; font: inherit; }
input, button { margin-top: .5rem; padding: .6rem .75rem; }
input, button { border: 1px solid GrayText; border-radius: .375rem; }
button { cursor: pointer; font-weight: 600; }
#answer { min-height: 3em; margin-top: 1rem; }
"""

_SCRIPT = """
const answer = document.getElementById("answer");
document.getElementById("endpoint").textContent = location.origin + "/codec";
document.getElementById("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = document.getElementById("key");
  const headers = { Authorization: "Bearer " + field.value.trim() };
  field.value = "";
  answer.textContent = "…";
  try {
    const reply = await fetch("/codec/session", { method: "POST", headers });
    const said = await reply.json();
    answer.textContent = reply.ok
      ? "Logged in until " + new Date(said.expires_at).toLocaleTimeString() + ". Reload " + said.ui_origin
      : said.title + ". " + said.detail;
  } catch {
    answer.textContent = "The API does not answer.";
  }
});
"""

LOGIN_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Holdfast: read encrypted payloads</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>Read encrypted payloads</h1>
<p>For eight hours the Temporal UI in this browser may decrypt what Holdfast's workflows hold.</p>
<form id="login">
<label for="key">An operator's API key</label>
<input id="key" type="password" autocomplete="off" autofocus required>
<button>Log in</button>
</form>
<p id="answer" role="status"></p>
<p>If the UI still shows encrypted payloads, open its Codec Server dialog, choose your browser's own setting,
give it <code id="endpoint"></code> and include cross-origin credentials.</p>
</main>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"script-src {_hash(_SCRIPT)}",
        f"style-src {_hash(_STYLE)}",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
