"""The embedded PKI: sound SVIDs, renewal, and repair."""

import datetime as dt

import pytest
from cryptography import x509

from tests.support.frozen_clock import NOW, FrozenClock
from vault.embedded.certificates import issue
from vault.embedded.pki import CLIENTS, Pki
from vault.embedded.state import EmbeddedError


def _san(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


@pytest.fixture
def clock():
    return FrozenClock()


@pytest.fixture
def pki(tmp_path, clock):
    made = Pki(tmp_path / "certs", clock=clock)
    made.ensure()
    return made


def _load(pki, name):
    return x509.load_pem_x509_certificate(pki.files(name).certificate.read_bytes())


@pytest.mark.parametrize("name", CLIENTS)
def test_clients_are_svids(pki, name):
    certificate = _load(pki, name)
    extensions = certificate.extensions

    assert [f"spiffe://pdvault.example{CLIENTS[name]}"] == _san(certificate).get_values_for_type(
        x509.UniformResourceIdentifier
    )
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    assert not usage.crl_sign
    extended = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [x509.ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate.verify_directly_issued_by(pki.authority().certificate)


def test_servers_are_for_this_machine_and_no_clients(pki):
    certificate = _load(pki, "service")

    names = _san(certificate)
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        "spiffe://pdvault.example/vault/service"
    ]
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [x509.ExtendedKeyUsageOID.SERVER_AUTH]


def test_private_keys_are_private(pki):
    keys = [*pki.folder.rglob("*.key")]

    assert len(CLIENTS) + 3 == len(keys)
    assert {0o600} == {path.stat().st_mode & 0o777 for path in keys}
    assert {0o700} == {p.stat().st_mode & 0o777 for p in pki.folder.rglob("*") if p.is_dir()}


def test_good_certificates_stay(pki):
    before = {path: path.read_bytes() for path in pki.folder.rglob("*.*")}

    pki.ensure()

    assert before == {path: path.read_bytes() for path in pki.folder.rglob("*.*")}


def test_leafs_are_renewed_in_time_and_the_authority_stays(tmp_path, pki):
    authority, leaf = pki.authority_file.read_bytes(), _load(pki, "order")
    later = dt.datetime.fromtimestamp(NOW, dt.UTC) + dt.timedelta(days=61)

    Pki(pki.folder, clock=FrozenClock(int(later.timestamp()))).ensure()

    renewed = _load(pki, "order")
    assert leaf.serial_number != renewed.serial_number
    assert dt.timedelta(days=90) == renewed.not_valid_after_utc - later
    assert authority == pki.authority_file.read_bytes()


@pytest.mark.parametrize("damaged", ["tls.key", "tls.crt", "ca.crt"])
def test_a_damaged_leaf_is_replaced(pki, damaged):
    (pki.files("order").folder / damaged).write_bytes(b"rubbish")

    pki.ensure()

    _load(pki, "order").verify_directly_issued_by(pki.authority().certificate)
    assert pki.authority_file.read_bytes() == pki.files("order").authority.read_bytes()


def test_a_key_of_another_certificate_is_noticed(pki):
    pki.files("order").key.write_bytes(pki.files("shipping").key.read_bytes())

    pki.ensure()

    assert pki.files("order").key.read_bytes() != pki.files("shipping").key.read_bytes()


def test_an_authority_without_key_is_an_error_and_no_new_authority(pki):
    (pki.folder / "ca" / "ca.key").unlink()

    with pytest.raises(EmbeddedError, match="missing or damaged"):
        pki.ensure()


def test_a_self_signed_leaf_is_its_own_issuer(pki):
    issued = issue(pki.leaf("order"), None)

    assert issued.certificate.subject == issued.certificate.issuer
    issued.certificate.verify_directly_issued_by(issued.certificate)


def test_keys_do_not_show(pki):
    assert "key" not in repr(pki.authority())
