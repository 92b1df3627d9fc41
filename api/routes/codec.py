"""`/codec`: Temporal's remote codec, by which its UI and its CLI read encrypted payloads; for operators only.

The protocol is Temporal's ("Codec Server" in its documentation): POST of `Payloads` as JSON to `…/encode` and
`…/decode`, answered in the same form.
"""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse

from api.codec_access import COOKIE, DECODE, ENCODE, LOGIN, SESSION
from api.codec_page import CONTENT_SECURITY_POLICY, LOGIN_PAGE
from api.deps import Caller, ServicesDep, operator, presented_key
from api.fingerprints import KeyHeader, key_of
from api.problems import Problem
from api.routes.answers import problems, tell_key
from api.schemas.codec import CodecSessionAnswer, PayloadJson, PayloadsJson
from runtime.temporal_codec import CODEC_PATH, PayloadUnreadable

router = APIRouter(tags=["codec"])

_CODING = problems(403, 413, 422)
Operator = Annotated[Caller, Depends(operator)]


@router.post(DECODE, responses=_CODING, summary="Decrypt payloads", dependencies=[Depends(operator)])
async def decode_payloads(services: ServicesDep, body: PayloadsJson, response: Response) -> PayloadsJson:
    """Payloads in clear, in their order; what was never encrypted comes back as it is. Payloads of every
    account can be read here, so it takes an operator's key, or the login of the UI. Nothing is changed.
    """
    response.headers["Cache-Control"] = "no-store"
    try:
        clear = await services.codec.codec.decode([each.payload() for each in body.payloads])
    except PayloadUnreadable as error:
        detail = (
            "A payload cannot be decrypted with HOLDFAST_TEMPORAL_PAYLOAD_KEYS: holdfast doctor says why."
        )
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, error.code, detail) from None
    return PayloadsJson(payloads=[PayloadJson.of(each) for each in clear])


@router.post(ENCODE, responses=_CODING, summary="Encrypt payloads", dependencies=[Depends(operator)])
async def encode_payloads(services: ServicesDep, body: PayloadsJson) -> PayloadsJson:
    """Payloads as this installation stores them: encrypted with the first key, in clear when there is none.
    For inputs that an operator gives in the UI or by the CLI. Nothing is changed.
    """
    sealed = await services.codec.codec.encode([each.payload() for each in body.payloads])
    return PayloadsJson(payloads=[PayloadJson.of(each) for each in sealed])


@router.post(f"{CODEC_PATH}/session", responses=problems(403), summary="Log in for the Temporal UI")
async def begin_session(
    services: ServicesDep,
    caller: Operator,
    request: Request,
    response: Response,
    idempotency_key: KeyHeader = None,
) -> CodecSessionAnswer:
    """A cookie by which the pages of the Temporal UI may decrypt and encrypt for eight hours. It works on
    those two paths and from the UI's origin alone, and ends when the key is revoked. Each login is audited.
    """
    tell_key(response, key_of(idempotency_key))
    now = services.clock.now()
    cookie = services.codec.sessions.begin(presented_key(request), now)
    response.set_cookie(
        COOKIE,
        cookie.get_secret_value(),
        max_age=int(SESSION.total_seconds()),
        path=CODEC_PATH,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    response.headers["Cache-Control"] = "no-store"
    await services.audit.append(
        account_id=None, actor=caller.key_id, action="codec.login", subject=caller.key_id
    )
    return CodecSessionAnswer(expires_at=now + SESSION, ui_origin=services.codec.ui_origin)


@router.get(LOGIN, response_class=HTMLResponse, summary="Login page for the Temporal UI")
async def read_login_page() -> HTMLResponse:
    """A page that takes an operator's key and logs this browser in; needs no key itself and holds nothing."""
    headers = {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(LOGIN_PAGE, headers=headers)
