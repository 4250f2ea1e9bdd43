"""A server as it stands on a network: TLS, users, MONAI Label's client as 3D Slicer drives it, nothing left."""

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException

from lib.accounts.roles import Role
from lib.accounts.users import UserFile
from tests.e2e.conftest import Server, running, started_by_us

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Exception ignored in.*socket"),  # MONAI Label's client leaves them to the
    pytest.mark.filterwarnings("ignore:unclosed.*socket:ResourceWarning"),  # garbage collector
    pytest.mark.filterwarnings("ignore:Exception ignored in.*FileIO"),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
]
PASSWORD = "correct horse battery"


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secured(
    phantoms: Path, certificate: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("secured")
    users = UserFile(folder / "users.json")
    for role in Role:
        users.add(f"an-{role.title}", role, PASSWORD)
    cert, key = certificate
    with running(
        phantoms,
        folder / "live",
        lambda studies, port: [*started_by_us(studies, port), "--tls-certificate", str(cert), "--tls-key", str(key)],
        cert,
    ) as found:
        yield found


def client_of(server: Server, name: str) -> MONAILabelClient:
    client = MONAILabelClient(server.url)
    assert client.auth_enabled()
    client.update_auth(client.auth_token(name, PASSWORD))
    assert client.auth_valid_token()
    return client


def test_a_reader_works_as_slicer_does_and_signs_the_label(
    secured: Server, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))  # the client uploads with requests
    client = client_of(secured, "an-annotator")
    assert next(iter(client.info()["models"])) == "segment_auto"
    sample = client.next_sample("random", {})
    assert {"id", "path", "name"} <= set(sample)
    assert sample["id"] in client.datastore()["objects"]
    proposal, reply = client.infer("segment_auto", sample["id"], {"result_extension": ".nii.gz"})
    assert nib.load(proposal).shape == nib.load(secured.studies / f"{sample['id']}.nii.gz").shape
    assert reply["label_names"] == {"kidney": 1, "mass": 2, "cyst": 3}
    names = [{"name": name, "idx": value} for name, value in reply["label_names"].items()]
    assert client.save_label(sample["id"], proposal, params={"label_info": names})["label"] == sample["id"]
    info = client.datastore()["objects"][sample["id"]]["labels"]["final"]["info"]
    assert info["author"] == "an-annotator"
    session = client_of(secured, "an-annotator").create_session(str(secured.studies / "P0003_CP.nii.gz"))
    mine, _ = client.infer("segment_cp", "", {}, session_id=session["session_id"])
    assert nib.load(mine).shape == nib.load(secured.studies / "P0003_CP.nii.gz").shape
    client.remove_session(session["session_id"])
    with pytest.raises(MONAILabelClientException, match="Status: 403"):
        client.train_start("segment_cp", {})
    assert not client.train_status(check_if_running=True)


def test_a_wrong_password_and_no_password(secured: Server) -> None:
    client = MONAILabelClient(secured.url)
    with pytest.raises(MONAILabelClientException, match="do not belong together"):
        client.auth_token("an-annotator", "wrong password")
    with pytest.raises(MONAILabelClientException, match="Status: 401"):
        client.info()


def test_plain_http_gets_nothing_where_tls_is_on(secured: Server) -> None:
    with pytest.raises(requests.ConnectionError):
        requests.get(secured.url.replace("https", "http") + "/healthz", timeout=30)


def test_the_log_has_ids_and_neither_passwords_nor_tokens(secured: Server, certificate: tuple[Path, Path]) -> None:
    form = {"username": "an-admin", "password": PASSWORD}
    token = requests.post(f"{secured.url}/auth/token", data=form, timeout=30, verify=certificate[0]).json()
    requests.get(
        f"{secured.url}/info/",
        headers={"Authorization": f"Bearer {token['access_token']}", "X-Request-ID": "found-in-the-log"},
        timeout=30,
        verify=certificate[0],
    ).raise_for_status()
    log = secured.log.read_text()
    assert "[found-in-the-log]" in log
    assert "an-admin GET /info/ 200" in log
    assert PASSWORD not in log
    assert token["access_token"] not in log


def test_its_figures_are_an_admins(secured: Server, certificate: tuple[Path, Path]) -> None:
    for name, status in (("an-annotator", 403), ("an-admin", 200)):
        token = client_of(secured, name).auth_token(name, PASSWORD)
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        answer = requests.get(f"{secured.url}/metrics", headers=headers, timeout=30, verify=certificate[0])
        assert answer.status_code == status
    assert "renal_labels_saved_total" in answer.text


def test_nothing_is_left_when_a_server_ends(secured: Server) -> None:
    secured.process.terminate()
    secured.process.wait(60)
    files = [path for path in secured.temporary.rglob("*") if path.is_file()]
    assert [path for path in files if path.suffix != ".json" and path.name != "sweeping"] == []  # log settings, a lock
    assert [path for path in secured.temporary.glob("renal-loop-*/*") if path.is_dir()] == []
