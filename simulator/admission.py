"""Who may place an order: owner, signer, wallet, signature, novelty, standing."""

from functools import lru_cache

from simulator import refusals, validation
from simulator.markets import Market
from simulator.orders import Side, SignatureType, SignedOrder, Submission
from simulator.refusals import bad
from simulator.signatures import SignatureError, order_digest, recover_address, recover_owner
from simulator.state import State


class Admission:
    """Checks that need the exchange's records but no book."""

    def __init__(self, state: State) -> None:
        self._state = state

    def market_for(self, submission: Submission, account: str, owner: str) -> Market:
        """Returns the market of an order that comes from its own key.

        Raises:
            Refusal: foreign owner or signer, or no open book.
        """
        signed = submission.signed
        if submission.owner != owner:
            raise bad(refusals.FOREIGN_OWNER)
        if self._key_behind(signed).lower() != account.lower():
            raise bad(refusals.FOREIGN_SIGNER)
        market = self._state.market_of_token.get(signed.token_id)
        if market is None or market.closed or not market.enable_order_book or market.resolved:
            raise bad(refusals.NO_BOOK_FOR_ORDER)
        return market

    def order_id_of(self, submission: Submission, market: Market) -> str:
        """Returns the id of an order that is genuine and new.

        The signature comes first, then the duplicate, then what may change between two tries.

        Raises:
            Refusal: wrong wallet or signature, known id, market not ready.
        """
        signed = submission.signed
        digest, order_id = self.digest(signed, market)
        self._check_wallet(signed)
        try:
            genuine = self._signed_by(signed, digest, market).lower() == self._key_behind(signed).lower()
        except SignatureError as error:
            raise bad(refusals.INVALID_SIGNATURE) from error
        if not genuine:
            raise bad(refusals.INVALID_SIGNATURE)
        if order_id in self._state.orders:
            raise refusals.duplicated(order_id)
        if not market.active or not market.accepting_orders:
            raise bad(refusals.NOT_READY)
        return order_id

    def digest(self, signed: SignedOrder, market: Market) -> tuple[bytes, str]:
        """Returns the bytes that were signed, and the same as an order id."""
        digest = _digest(signed, self._state.meta.chain_id, market.neg_risk)
        return digest, f"0x{digest.hex()}"

    def _key_behind(self, signed: SignedOrder) -> str:
        """Returns whose key must have signed; a deposit wallet that is not deployed has no owner."""
        if signed.signature_type != SignatureType.POLY_1271:
            return signed.signer
        wallet = self._state.wallets.get(signed.signer.lower())
        return signed.signer if wallet is None else wallet.signer

    def _signed_by(self, signed: SignedOrder, digest: bytes, market: Market) -> str:
        if signed.signature_type != SignatureType.POLY_1271:
            return recover_address(digest, signed.signature)
        fields = validation.signed_fields(signed)
        return recover_owner(fields, signed.signature, self._state.meta.chain_id, market.neg_risk)

    def _check_wallet(self, signed: SignedOrder) -> None:
        deposit = signed.signature_type == SignatureType.POLY_1271
        if self._state.settings.deposit_wallet_only and not deposit:
            raise bad(refusals.MAKER_NOT_ALLOWED)
        if deposit and signed.maker.lower() != signed.signer.lower():
            raise bad(refusals.INVALID_SIGNATURE)
        if signed.signature_type == SignatureType.EOA:
            if signed.maker.lower() != signed.signer.lower():
                raise bad(refusals.INVALID_SIGNATURE)
            return
        wallet = self._state.wallets.get(signed.maker.lower())
        if wallet is None:
            raise bad(refusals.MAKER_NOT_ALLOWED)
        owned = wallet.signer.lower() == self._key_behind(signed).lower()
        if not owned or wallet.signature_type != signed.signature_type:
            raise bad(refusals.INVALID_SIGNATURE)

    def check_standing(self, signed: SignedOrder) -> None:
        """Refuses banned addresses, and openings of those that may only close.

        Raises:
            Refusal: with the address.
        """
        wallet = self._state.wallet(signed.maker)
        if wallet.banned:
            raise refusals.banned(wallet.address)
        if wallet.closed_only and signed.side is Side.BUY:
            raise refusals.closed_only(wallet.address)


@lru_cache(maxsize=1024)
def _digest(signed: SignedOrder, chain_id: int, neg_risk: bool) -> bytes:
    """Cached, since ledger and exchange both need it and a digest costs more than the rest of a check."""
    return order_digest(validation.signed_fields(signed), chain_id, neg_risk)
