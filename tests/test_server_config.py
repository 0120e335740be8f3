"""Wrong and insecure settings and data folders: the server names them and does not start."""

import os
from dataclasses import MISSING
from pathlib import Path

import pytest

from server import config
from sync.keys.key_files import save_secret
from sync.keys.key_pairs import RouteKey, SealKey, SigningKey


def ready(folder: Path) -> dict[str, str]:
    folder.chmod(0o700)
    return {"CHASKI_DATA": str(folder), "PATH": "/usr/bin"}


def test_the_data_folder_is_the_only_required_setting(tmp_path: Path) -> None:
    loaded = config.load(ready(tmp_path))
    assert (loaded.data, loaded.tablets_port, loaded.people_port) == (tmp_path, 8080, 8081)
    assert loaded.deadline_hours == {"immediate": 1, "prompt": 24, "routine": 72}
    assert loaded.tablets_address == "http://127.0.0.1:8080"


def test_a_missing_data_folder_is_named() -> None:
    with pytest.raises(config.ConfigError, match="CHASKI_DATA: is missing"):
        config.load({})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CHASKI_TABLETS_PORT", "eighty"),
        ("CHASKI_PEOPLE_PORT", "70000"),
        ("CHASKI_PEOPLE_PORT", "8080"),
        ("CHASKI_TABLETS_HOST", "over there"),
        ("CHASKI_TABLETS_URL", "tablets.example"),
        ("CHASKI_PEOPLE_URL", "http://chaski.example"),
        ("CHASKI_LOG_LEVEL", "chatty"),
        ("CHASKI_HOURS_IMMEDIATE", "0"),
        ("CHASKI_LEASE_MINUTES", ""),
        ("CHASKI_DATA", " "),
    ],
)
def test_a_wrong_value_is_rejected_with_the_name_of_its_setting(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(config.ConfigError) as refused:
        config.load(ready(tmp_path) | {name: text})
    assert refused.value.setting == name


def test_a_misspelt_setting_is_rejected_with_the_right_spelling(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match=r"CHASKI_HOURS_IMEDIATE.*did you mean CHASKI_HOURS_IMMEDIATE"):
        config.load(ready(tmp_path) | {"CHASKI_HOURS_IMEDIATE": "2"})


def test_every_setting_has_a_description() -> None:
    for name, (_, setting, default) in config.known_settings().items():
        assert setting.about.endswith("."), name
        assert default is not MISSING or name == "CHASKI_DATA"


def test_a_demo_is_served_to_this_machine_only(tmp_path: Path) -> None:
    loaded = config.load(ready(tmp_path) | {"CHASKI_TABLETS_HOST": "0.0.0.0"})
    with pytest.raises(config.ConfigError, match="CHASKI_TABLETS_HOST"):
        config.refuse_insecure(loaded, demo=True, own=(), key_files=config.find_key_files(loaded))
    config.refuse_insecure(loaded, demo=False, own=(), key_files=config.find_key_files(loaded))


def test_session_cookies_never_cross_a_network_unencrypted(tmp_path: Path) -> None:
    loaded = config.load(ready(tmp_path) | {"CHASKI_PEOPLE_HOST": "0.0.0.0", "CHASKI_PEOPLE_SECURE_COOKIE": "no"})
    with pytest.raises(config.ConfigError, match="CHASKI_PEOPLE_SECURE_COOKIE"):
        config.refuse_insecure(loaded, demo=False, own=(), key_files=config.find_key_files(loaded))
    here = config.load(ready(tmp_path) | {"CHASKI_PEOPLE_SECURE_COOKIE": "no"})
    config.refuse_insecure(here, demo=False, own=(), key_files=config.find_key_files(here))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_file_that_others_can_read_is_rejected_by_name(tmp_path: Path, mode: int) -> None:
    loaded, key = config.load(ready(tmp_path)), SigningKey.generate()
    save_secret(tmp_path / "server.key", key)
    config.refuse_insecure(loaded, demo=False, own={key.kid}, key_files=config.find_key_files(loaded))
    (tmp_path / "server.key").chmod(mode)
    with pytest.raises(config.ConfigError, match=r"CHASKI_DATA.*server\.key"):
        config.refuse_insecure(loaded, demo=False, own={key.kid}, key_files=config.find_key_files(loaded))


def test_a_data_folder_that_others_can_read_is_rejected(tmp_path: Path) -> None:
    loaded = config.load(ready(tmp_path))
    tmp_path.chmod(0o755)
    with pytest.raises(config.ConfigError, match="CHASKI_DATA"):
        config.refuse_insecure(loaded, demo=True, own=(), key_files=config.find_key_files(loaded))


@pytest.mark.parametrize("key", [SigningKey.generate(), SealKey.generate(), RouteKey.generate()])
@pytest.mark.parametrize("phrase", [None, "seis palabras"])
def test_a_real_server_rejects_a_secret_key_that_is_not_its_own(
    tmp_path: Path, key: SigningKey | SealKey | RouteKey, phrase: str | None
) -> None:
    loaded = config.load(ready(tmp_path))
    (tmp_path / "somewhere").mkdir()
    save_secret(tmp_path / "somewhere" / "root.key", key, phrase)
    with pytest.raises(config.ConfigError, match=r"CHASKI_DATA: holds a secret.*root\.key"):
        config.refuse_insecure(loaded, demo=False, own={"another"}, key_files=config.find_key_files(loaded))
    config.refuse_insecure(loaded, demo=True, own=(), key_files=config.find_key_files(loaded))


def test_odd_files_in_the_data_folder_do_not_stop_the_search_for_keys(tmp_path: Path) -> None:
    loaded = config.load(ready(tmp_path))
    key = SigningKey.generate()
    save_secret(tmp_path / "server.key", key)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "caf\u00e9\n.key").write_bytes(b"\xff")
    assert [file.kid for file in config.find_key_files(loaded)] == [key.kid]
