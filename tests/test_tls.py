import datetime
import ssl
import stat
from pathlib import Path

from cryptography import x509

from vivavoce.tls import self_signed


def test_the_certificate_is_good_for_this_machine_and_its_key_is_private(tmp_path: Path) -> None:
    certificate_file, key_file = self_signed(tmp_path / "tls")
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "localhost" in names.get_values_for_type(x509.DNSName)
    assert "127.0.0.1" in [str(ip) for ip in names.get_values_for_type(x509.IPAddress)]
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate_file, key_file)


def test_it_is_kept_until_it_is_about_to_expire(tmp_path: Path) -> None:
    certificate_file, _ = self_signed(tmp_path)
    first = certificate_file.read_bytes()
    self_signed(tmp_path)
    assert certificate_file.read_bytes() == first
    certificate = x509.load_pem_x509_certificate(first)
    assert certificate.not_valid_after_utc < datetime.datetime.now(
        datetime.UTC
    ) + datetime.timedelta(days=398)
    certificate_file.write_text("not a certificate")
    self_signed(tmp_path)
    assert certificate_file.read_bytes().startswith(b"-----BEGIN CERTIFICATE-----")
