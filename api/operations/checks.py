"""Can this account trade at a venue? One check a question, each with the command that mends it."""

from collections.abc import Awaitable, Callable
from decimal import Decimal

from activities.wallets import ask_wallets
from api.deps import Services
from api.ports import ClosedOnlySession
from api.schemas.accounts import CheckAnswer
from domain.accounts import Account
from domain.errors import CredentialsMissing, HoldfastError
from domain.money import plain
from domain.orders import Mode
from domain.ports import Trading

MAX_SKEW_MS = 5_000
_SET_CREDENTIALS = "holdfast credentials set"
_DOCTOR = "holdfast doctor"


async def account_checks(services: Services, account: Account, venue: str) -> list[CheckAnswer]:
    """Return every check of an account at a venue; a check that cannot be made fails and says why.

    Raises:
        UnknownVenue: No adapter of that name.
    """
    services.venues.market_data(venue)
    checks = _Checks(services, account, venue)
    return [
        await _tried("mode", checks.mode, "holdfast account mode"),
        await _tried("venue_reachable", checks.venue_reachable, _DOCTOR),
        await _tried("credentials", checks.credentials, _SET_CREDENTIALS),
        await _tried("wallets", checks.wallets, _SET_CREDENTIALS),
        await _tried("balance", checks.balance, _SET_CREDENTIALS),
        await _tried("allowance", checks.allowance, _SET_CREDENTIALS),
        await _tried("region", checks.region, _DOCTOR),
        await _tried("closed_only", checks.closed_only, _DOCTOR),
    ]


async def _tried(name: str, check: Callable[[], Awaitable[CheckAnswer]], fix: str) -> CheckAnswer:
    try:
        return await check()
    except CredentialsMissing:
        return _failed(name, "the account has no usable credentials for this venue", _SET_CREDENTIALS)
    except HoldfastError as error:
        return _failed(name, f"could not be checked ({error.code})", fix)


def _passed(name: str, detail: str) -> CheckAnswer:
    return CheckAnswer(name=name, ok=True, detail=detail, fix=None)


def _failed(name: str, detail: str, fix: str) -> CheckAnswer:
    return CheckAnswer(name=name, ok=False, detail=detail, fix=fix)


class _Checks:
    """The checks of one account at one venue."""

    def __init__(self, services: Services, account: Account, venue: str) -> None:
        self._services = services
        self._account = account
        self._venue = venue

    async def mode(self) -> CheckAnswer:
        """Whether the account's mode is one in which orders can go out."""
        account = self._account
        if account.mode is Mode.LIVE and not account.live_acknowledged:
            fix = f"holdfast account mode live --acknowledge-live --account {account.account_id}"
            return _failed("mode", "live without an acknowledgement: nothing is sent", fix)
        return _passed("mode", f"{account.mode.value}, kill switch {account.kill_switch.value}")

    async def venue_reachable(self) -> CheckAnswer:
        """Whether the venue answers, and whether our clocks agree."""
        venue_ms = await self._services.venues.market_data(self._venue).server_time_ms()
        skew = int(self._services.clock.now().timestamp() * 1000) - venue_ms
        if abs(skew) > MAX_SKEW_MS:
            return _failed(
                "venue_reachable", f"our clock differs by {skew} ms", "synchronize this machine's clock"
            )
        return _passed("venue_reachable", f"answers; our clock differs by {skew} ms")

    async def credentials(self) -> CheckAnswer:
        """Whether a wallet is stored for the account."""
        wallet = await self._services.venues.wallet(self._account.account_id, self._venue, self._account.mode)
        if self._account.mode is Mode.PAPER:
            return _passed("credentials", "paper needs none")
        return _passed("credentials", f"wallet {wallet.funder}, signature type {wallet.signature_type}")

    async def wallets(self) -> CheckAnswer:
        """Whether the venue serves every wallet: what one that it refuses holds cannot be sold."""
        account = self._account
        sessions = await self._services.venues.sessions(account.account_id, self._venue, account.mode)
        asked = await ask_wallets(sessions, lambda session: session.collateral())
        refused = len(sessions) - len(asked.given)
        if refused:
            detail = f"the venue refuses {refused} of {len(sessions)}: what these hold cannot be sold"
            return _failed("wallets", detail, _SET_CREDENTIALS)
        return _passed("wallets", f"{len(sessions)} in use")

    async def balance(self) -> CheckAnswer:
        """Whether there is collateral to buy with."""
        amount = (await (await self._session()).collateral()).amount
        if amount <= 0:
            return _failed(
                "balance", "no collateral at the venue: exits work, entries do not", "fund the wallet"
            )
        return _passed("balance", f"{plain(amount)} USD")

    async def allowance(self) -> CheckAnswer:
        """Whether the exchange may move the collateral."""
        balance = await (await self._session()).collateral()
        if balance.allowance < max(balance.amount, Decimal(1)):
            detail = f"the exchange may move {plain(balance.allowance)} USD only"
            return _failed("allowance", detail, "approve the exchange contracts in the venue's web page")
        return _passed("allowance", "covers the balance")

    async def region(self) -> CheckAnswer:
        """Whether the venue serves the place that this server calls from."""
        region = await self._services.regions.region(self._venue)
        if region is not None and region.blocked and self._account.mode is Mode.LIVE:
            detail = f"the venue does not serve {region.country or 'this place'}"
            return _failed("region", detail, "run Holdfast from a place that the venue serves")
        return _passed("region", "no restriction" if region is None else f"seen as {region.country}")

    async def _session(self) -> Trading:
        account = self._account
        return await self._services.venues.trading(account.account_id, self._venue, account.mode)

    async def closed_only(self) -> CheckAnswer:
        """Whether the venue takes only closing orders from this account."""
        session = await self._session()
        if not isinstance(session, ClosedOnlySession):
            return _passed("closed_only", "no such state here")
        if await session.closed_only():
            return _failed("closed_only", "the venue takes only closing orders", "ask the venue; exits work")
        return _passed("closed_only", "opening and closing allowed")
