"""Sealed secrets, credentials, wallets, API keys, the audit chain."""

import asyncio
import uuid
from dataclasses import replace

import pytest
from pydantic import SecretStr

from domain.errors import Conflict, CredentialsMissing, InvalidInput, NotFound
from domain.ids import AccountId, WalletId
from storage.database import Database
from storage.repositories.accounts import Accounts
from storage.repositories.api_keys import ApiKeys, Scope
from storage.repositories.audit import Audit
from storage.repositories.credentials import Credentials, wallet_key_record
from storage.repositories.wallets import Wallets
from storage.sealed import KeyRing, SealBroken, Sealed
from tests.storage.builders import VENUE, WALLET, alone_in

FIRST, SECOND = b"1" * 32, b"2" * 32
PEPPER = SecretStr("pepper" * 8)
CANARY = "0x" + "c0ffee" * 10 + "feed"


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing("first", {"first": FIRST})


def test_sealed_secret_opens_for_its_own_record(ring: KeyRing) -> None:
    sealed = ring.seal(b"secret", account_id="a", record_id="r")
    assert ring.unseal(sealed, account_id="a", record_id="r") == b"secret"
    assert b"secret" not in sealed.ciphertext + sealed.wrapped_key


def test_sealing_twice_gives_different_bytes(ring: KeyRing) -> None:
    one, two = (ring.seal(b"secret", account_id="a", record_id="r") for _ in range(2))
    assert one.ciphertext != two.ciphertext
    assert one.wrapped_key != two.wrapped_key


@pytest.mark.parametrize(("account", "record"), [("b", "r"), ("a", "s"), ("ar", ""), ("", "ar")])
def test_sealed_secret_does_not_open_for_another_record(ring: KeyRing, account: str, record: str) -> None:
    sealed = ring.seal(b"secret", account_id="a", record_id="r")
    with pytest.raises(SealBroken):
        ring.unseal(sealed, account_id=account, record_id=record)


@pytest.mark.parametrize("part", ["wrapped_key", "ciphertext"])
@pytest.mark.parametrize("place", [0, 12, -1])
def test_tampered_byte_breaks_the_seal(ring: KeyRing, part: str, place: int) -> None:
    sealed = ring.seal(b"secret", account_id="a", record_id="r")
    content = bytearray(getattr(sealed, part))
    content[place] ^= 1
    with pytest.raises(SealBroken):
        ring.unseal(replace(sealed, **{part: bytes(content)}), account_id="a", record_id="r")


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 12])
def test_truncated_secret_breaks_the_seal(ring: KeyRing, content: bytes) -> None:
    sealed = ring.seal(b"secret", account_id="a", record_id="r")
    with pytest.raises(SealBroken):
        ring.unseal(replace(sealed, ciphertext=content), account_id="a", record_id="r")


def test_parts_of_two_secrets_do_not_fit_together(ring: KeyRing) -> None:
    one, two = (ring.seal(b"secret", account_id="a", record_id="r") for _ in range(2))
    with pytest.raises(SealBroken):
        ring.unseal(replace(one, ciphertext=two.ciphertext), account_id="a", record_id="r")


def test_rotation_opens_the_old_seals_the_new_and_rewraps(ring: KeyRing) -> None:
    sealed = ring.seal(b"secret", account_id="a", record_id="r")
    rotated = KeyRing("second", {"first": FIRST, "second": SECOND})
    assert rotated.unseal(sealed, account_id="a", record_id="r") == b"secret"
    moved = rotated.rewrap(sealed, account_id="a", record_id="r")
    assert (moved.master_key_id, moved.ciphertext) == ("second", sealed.ciphertext)
    retired = KeyRing("second", {"second": SECOND})
    assert retired.unseal(moved, account_id="a", record_id="r") == b"secret"
    with pytest.raises(SealBroken):
        retired.unseal(sealed, account_id="a", record_id="r")


def test_ring_refuses_bad_keys_and_shows_none() -> None:
    with pytest.raises(ValueError, match="has no key"):
        KeyRing("missing", {"first": FIRST})
    with pytest.raises(ValueError, match="32 bytes"):
        KeyRing("first", {"first": b"short"})
    assert "1111" not in repr(KeyRing("first", {"first": FIRST}))
    assert isinstance(KeyRing("first", {"first": FIRST}).seal(b"", account_id="a", record_id="r"), Sealed)


async def test_credential_opens_for_its_account_alone(
    database: Database, account_id: AccountId, ring: KeyRing
) -> None:
    credentials, record = Credentials(database, ring), wallet_key_record(WalletId("wal_1"))
    other = (await Accounts(database).create("other")).account_id
    await credentials.put(account_id, record, SecretStr(CANARY))
    assert (await credentials.open(account_id, record)).get_secret_value() == CANARY
    with pytest.raises(CredentialsMissing):
        await credentials.open(other, record)
    assert await credentials.of_account(other) == []
    assert not await credentials.remove(other, record)
    assert await credentials.remove(account_id, record)
    with pytest.raises(CredentialsMissing):
        await credentials.open(account_id, record)


async def test_replaced_credential_has_a_higher_version(
    database: Database, account_id: AccountId, ring: KeyRing
) -> None:
    credentials = Credentials(database, ring)
    await credentials.put(account_id, "api/x", SecretStr("one"))
    facts = await credentials.put(account_id, "api/x", SecretStr("two"))
    assert facts.version == 2
    assert (await credentials.open(account_id, "api/x")).get_secret_value() == "two"
    assert await credentials.of_account(account_id) == [facts]


async def test_secret_that_was_moved_to_another_account_does_not_open(
    database: Database, account_id: AccountId, ring: KeyRing
) -> None:
    credentials = Credentials(database, ring)
    await credentials.put(account_id, "api/x", SecretStr("one"))
    thief = (await Accounts(database).create("thief")).account_id
    async with database.hot.connection() as connection:
        await connection.execute(
            "UPDATE credentials SET account_id = $2 WHERE account_id = $1", account_id, thief
        )
    with pytest.raises(SealBroken):
        await credentials.open(thief, "api/x")


async def test_rotation_rewraps_every_record_and_the_old_key_may_go(
    empty_database: Database, ring: KeyRing
) -> None:
    store = await alone_in(empty_database)
    for record in ("api/x", "api/y"):
        await Credentials(empty_database, ring).put(store.account_id, record, SecretStr(record))
    rotated = Credentials(empty_database, KeyRing("second", {"first": FIRST, "second": SECOND}))
    assert await rotated.rewrap_all() == 2
    assert await rotated.rewrap_all() == 0
    retired = Credentials(empty_database, KeyRing("second", {"second": SECOND}))
    assert (await retired.open(store.account_id, "api/y")).get_secret_value() == "api/y"


async def test_planted_key_is_in_no_table_as_it_is(empty_database: Database, ring: KeyRing) -> None:
    store = await alone_in(empty_database)
    await Credentials(empty_database, ring).put(store.account_id, "wallet/w", SecretStr(CANARY))
    key = await ApiKeys(empty_database, PEPPER).create(store.account_id, [Scope.READ])
    async with empty_database.hot.connection() as connection:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for table in tables:
            rows = await connection.fetch(f'SELECT t::text AS line FROM "{table["tablename"]}" AS t')
            lines = "".join(str(row["line"]) for row in rows)
            for secret in (CANARY, key.plaintext.get_secret_value()):
                assert secret not in lines
                assert secret.encode().hex() not in lines


async def test_wallet_is_immutable_and_the_newest_is_in_use(
    database: Database, account_id: AccountId
) -> None:
    wallets = Wallets(database)
    first, second = (replace(WALLET, wallet_id=WalletId(f"wal_{uuid.uuid4().hex}")) for _ in range(2))
    assert await wallets.current(account_id, VENUE) is None
    for wallet in (first, first, second):
        await wallets.add(account_id, VENUE, wallet)
    assert await wallets.current(account_id, VENUE) == second
    assert await wallets.all_of(account_id, VENUE) == [first, second]
    assert await wallets.get(account_id, first.wallet_id) == first
    with pytest.raises(Conflict):
        await wallets.add(account_id, VENUE, replace(first, funder="0xother"))


async def test_wallet_stored_last_is_in_use_even_when_it_stood_before(
    database: Database, account_id: AccountId
) -> None:
    wallets = Wallets(database)
    first, second = (replace(WALLET, wallet_id=WalletId(f"wal_{uuid.uuid4().hex}")) for _ in range(2))
    for wallet in (first, second, first):
        await wallets.add(account_id, VENUE, wallet)
    assert await wallets.current(account_id, VENUE) == first
    assert await wallets.all_of(account_id, VENUE) == [second, first]
    await wallets.add(account_id, VENUE, first)
    acts = [(line.action, line.subject) for line in await Audit(database).page(account_id)]
    wallet_acts = [act for act in acts if act[0].startswith("wallet.")]
    assert wallet_acts == [
        ("wallet.used_again", first.wallet_id),
        ("wallet.added", second.wallet_id),
        ("wallet.added", first.wallet_id),
    ]


async def test_refused_wallet_does_not_come_into_use(database: Database, account_id: AccountId) -> None:
    wallets = Wallets(database)
    first, second = (replace(WALLET, wallet_id=WalletId(f"wal_{uuid.uuid4().hex}")) for _ in range(2))
    for wallet in (first, second):
        await wallets.add(account_id, VENUE, wallet)
    with pytest.raises(Conflict):
        await wallets.add(account_id, VENUE, replace(first, funder="0xother"))
    assert await wallets.current(account_id, VENUE) == second


async def test_wallet_of_another_account_is_neither_found_nor_taken(
    database: Database, account_id: AccountId
) -> None:
    wallets, wallet = Wallets(database), replace(WALLET, wallet_id=WalletId(f"wal_{uuid.uuid4().hex}"))
    other = (await Accounts(database).create("other")).account_id
    await wallets.add(account_id, VENUE, wallet)
    assert await wallets.get(other, wallet.wallet_id) is None
    assert await wallets.current(other, VENUE) is None
    with pytest.raises(Conflict):
        await wallets.add(other, VENUE, wallet)


async def test_key_authenticates_until_it_is_revoked(database: Database, account_id: AccountId) -> None:
    keys = ApiKeys(database, PEPPER)
    made = await keys.create(account_id, [Scope.TRADE, Scope.READ], name="bot")
    found = await keys.authenticate(made.plaintext)
    assert found is not None
    assert (found.account_id, found.scopes) == (account_id, {Scope.READ, Scope.TRADE})
    revoked = await keys.revoke(made.key.key_id, account_id=account_id)
    assert revoked.revoked_at is not None
    assert await keys.authenticate(made.plaintext) is None
    assert (await keys.revoke(made.key.key_id)).revoked_at == revoked.revoked_at
    (listed,) = await keys.of_account(account_id)
    assert listed.last_used_at is not None


async def test_wrong_keys_are_nobody(database: Database, account_id: AccountId) -> None:
    keys = ApiKeys(database, PEPPER)
    plaintext = (await keys.create(account_id, [Scope.READ])).plaintext.get_secret_value()
    prefix = plaintext.split("_")[1]
    wrong = [
        "",
        "hf",
        "hf_",
        f"hf_{prefix}",
        f"hf_{prefix}_x",
        plaintext[:-1],
        f"xx_{plaintext[3:]}",
        "' OR 1=1 --",
    ]
    for text in wrong:
        assert await keys.authenticate(SecretStr(text)) is None, text
    assert await ApiKeys(database, SecretStr("another" * 8)).authenticate(SecretStr(plaintext)) is None


async def test_key_of_another_account_cannot_be_revoked(database: Database, account_id: AccountId) -> None:
    keys = ApiKeys(database, PEPPER)
    made = await keys.create(account_id, [Scope.READ])
    other = (await Accounts(database).create("other")).account_id
    with pytest.raises(NotFound):
        await keys.revoke(made.key.key_id, account_id=other)
    assert await keys.authenticate(made.plaintext) is not None
    assert await keys.of_account(other) == []


async def test_only_an_admins_key_belongs_to_no_account(database: Database, account_id: AccountId) -> None:
    keys = ApiKeys(database, PEPPER)
    assert (await keys.create(None, [Scope.ADMIN])).key.account_id is None
    with pytest.raises(InvalidInput):
        await keys.create(None, [Scope.TRADE])
    with pytest.raises(InvalidInput):
        await keys.create(account_id, [])


async def test_chain_seals_every_line_once_and_verifies(empty_database: Database) -> None:
    audit = Audit(empty_database)
    assert await audit.verify() is None
    for number in range(5):
        await audit.append(
            account_id=None, actor="a", action="b", subject=str(number), detail={"n": str(number)}
        )
    assert await audit.chain() == 5
    await audit.append(account_id=AccountId("acc"), actor="a", action="b", subject="later")
    assert await audit.chain() == 1
    assert await audit.chain() == 0
    assert await audit.verify() is None


async def test_line_that_was_changed_behind_the_triggers_breaks_the_chain(empty_database: Database) -> None:
    audit = Audit(empty_database)
    for number in range(4):
        await audit.append(account_id=None, actor="a", action="b", subject=str(number))
    await audit.chain()
    async with empty_database.hot.transaction() as connection:
        await connection.execute("ALTER TABLE audit DISABLE TRIGGER audit_append_only")
        await connection.execute("UPDATE audit SET actor = 'z' WHERE subject = '2'")
        await connection.execute("ALTER TABLE audit ENABLE TRIGGER audit_append_only")
    assert await audit.verify() == 3


async def test_chain_is_made_by_one_writer_at_a_time(empty_database: Database) -> None:
    audit = Audit(empty_database)
    for number in range(20):
        await audit.append(account_id=None, actor="a", action="b", subject=str(number))
    sealed = await asyncio.gather(*(audit.chain() for _ in range(4)))
    assert sum(sealed) == 20
    assert await audit.verify() is None
