"""What a disk, a person or a server does to a sync engine that is no change of a file: it must lose nothing.

The tests are named after the rules of the client (`docs/sync.md`, ADR 0036).
"""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import threading
import unicodedata
from dataclasses import replace

import pytest

from dropbox_api.plumbing.epoch import start_epoch
from dropbox_client.sync.guard import RootPaused
from dropbox_client.sync.names import is_conflict_name
from dropbox_client.sync.remote import ServerReplaced
from tests.support.programs import require_program
from tests.support.sync_daemons import is_up_to_date, read_folder, running
from tests.support.sync_scene import Scene, beside_others, has_agreed, known, mounted, run_command, texts, write

# Rule 1: a root that is gone is no deletion


@beside_others
async def test_rule_1_root_emptied_under_the_engine_pauses_and_deletes_nothing(scene: Scene) -> None:
    device = scene.device()
    write(device.root, a="a", folder__b="b")
    await device.sync()
    before = await scene.there()
    assert len(before) == 3
    async with running(device.make_engine()) as laptop:
        await laptop.until(is_up_to_date)
        for path in list(device.root.iterdir()):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        await laptop.until(lambda snapshot: snapshot.phase == "paused")
    with pytest.raises(RootPaused):
        await device.sync()
    assert await scene.there() == before


@beside_others
async def test_rule_1_root_replaced_by_another_folder_or_a_copy_pauses_until_it_is_back(scene: Scene) -> None:
    device = scene.device()
    write(device.root, a="a", b="b")
    await device.sync()
    before = await scene.there()
    away = device.home / "away"
    device.root.rename(away)
    device.root.mkdir()
    write(device.root, c="another disk")
    with pytest.raises(RootPaused):
        await device.sync()
    shutil.rmtree(device.root)
    await run_command("cp", "-a", away, device.root)
    (device.root / "a").unlink()
    with pytest.raises(RootPaused):
        await device.sync()
    assert await scene.there() == before
    shutil.rmtree(device.root)
    away.rename(device.root)
    (device.root / "a").unlink()
    assert is_up_to_date(await device.sync())
    assert set(await scene.there()) == {"b"}


@beside_others
async def test_rule_1_root_unmounted_under_the_engine_pauses_and_deletes_nothing(scene: Scene) -> None:
    device = scene.device()
    with mounted(device.root, "200m"):
        write(device.root, a="a", folder__b="b")
        await device.sync()
        before = await scene.there()
        async with running(device.make_engine()) as laptop:
            await laptop.until(is_up_to_date)
            await run_command("umount", "-l", device.root)
            await scene.put("/new", "new")
            laptop.engine.look()
            await laptop.until(lambda snapshot: snapshot.phase == "paused")
        with pytest.raises(RootPaused):
            await device.sync()
    assert list(device.root.iterdir()) == []
    after = await scene.there()
    assert after.items() > before.items()


# Rule 2: many deletes are asked about


@beside_others
async def test_rule_2_mass_delete_waits_for_an_answer_and_does_what_it_says(scene: Scene) -> None:
    device = scene.device()
    write(device.root, kept="kept", **{f"folder__{n}": f"{n}" for n in range(30)})
    await device.sync()
    before = await scene.there()
    async with running(device.make_engine()) as laptop:
        await laptop.until(is_up_to_date)
        shutil.rmtree(device.root / "folder")
        write(device.root, other="other")
        asked = await laptop.until(lambda snapshot: bool(snapshot.questions) and "other" in known(device))
        (question,) = asked.questions
        assert (question.kind, question.count) == ("local-deletes", 30)
        assert (await scene.there()).items() > before.items()
        assert await scene.ask(laptop.engine.answer, "rejected") > 0
        await laptop.until(lambda snapshot: is_up_to_date(snapshot) and len(device.read()) == 33)
        assert read_folder(device.root) == await scene.there()
        shutil.rmtree(device.root / "folder")
        await laptop.until(lambda snapshot: bool(snapshot.questions))
        assert (await scene.there()).items() > before.items()
        await scene.ask(laptop.engine.answer, "confirmed")
        await laptop.until(lambda snapshot: is_up_to_date(snapshot) and not snapshot.questions)
    assert set(await scene.there()) == {"kept", "other"}
    assert [file.name for file in await scene.ask(lambda: list(scene.client.trash.list()))] == ["folder"]


@beside_others
async def test_rule_2_remote_mass_delete_waits_for_an_answer(scene: Scene) -> None:
    device = scene.device()
    write(device.root, **{f"folder__{n}": f"{n}" for n in range(30)})
    await device.sync()
    await scene.ask(scene.client.files.move_to_trash, "/folder")
    asked = await device.sync()
    assert [(one.kind, one.count) for one in asked.questions] == [("remote-deletes", 30)]
    assert len(texts(device)) == 30
    engine = device.make_engine()
    assert await scene.ask(engine.answer, "confirmed") > 0
    engine.stop()
    assert is_up_to_date(await device.sync())
    assert device.read() == {}
    trashed = [path for path in (device.root / ".dbx/trash").rglob("*") if path.is_file() and path.name != "from"]
    assert len(trashed) == 30


# Rule 3: a restored server


@beside_others
async def test_rule_3_restored_server_unites_both_sides_and_overwrites_nothing(scene: Scene) -> None:
    async with scene.elsewhere() as restored:
        device = restored.device()
        write(device.root, same="same", newer="2", folder__made_after="3", deleted_after="4")
        await device.sync()
        # What the backup has: an older version, no file that was made after it, and one that was deleted after it.
        await restored.put("/newer", "1")
        await restored.purge("/folder/made_after")
        (device.root / "deleted_after").unlink()
        await start_epoch(restored.server.db)
        assert is_up_to_date(await device.sync())
        found = texts(device)
        copies = {path: content for path, content in found.items() if is_conflict_name(path)}
        rest = found.items() - copies.items()
        assert dict(rest) == {"same": "same", "newer": "1", "folder/made_after": "3", "deleted_after": "4"}
        assert list(copies.values()) == ["2"]
        assert read_folder(device.root) == await restored.there()


@beside_others
async def test_rule_3_server_of_another_installation_pauses(scene: Scene) -> None:
    device = scene.device()
    write(device.root, a="a", b="b")
    await device.sync()
    async with scene.elsewhere() as other:
        with pytest.raises(ServerReplaced):
            await replace(device, server=other.server, account=other.account).sync()
        assert await other.there() == {}
    assert texts(device) == {"a": "a", "b": "b"}


# Rule 4: long offline


@beside_others
async def test_rule_4_file_deleted_for_good_while_offline_goes_to_the_local_trash(scene: Scene) -> None:
    one, two = scene.pair()
    write(one.root, gone="gone", edited="edited", kept="kept")
    await one.sync()
    await two.sync()
    for path in ("/gone", "/edited"):
        await scene.purge(path)
    write(two.root, edited="edited offline")
    await two.sync()
    assert texts(two) == {"kept": "kept", "edited": "edited offline"}
    assert read_folder(two.root) == await scene.there()
    assert "gone" in {path.read_text() for path in (two.root / ".dbx/trash").rglob("content/*")}


# Rule 5, rule 14: names


@beside_others
async def test_rule_5_and_14_hostile_names_stop_nothing_and_are_listed(scene: Scene) -> None:
    one, two = scene.pair()
    nfc, nfd = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    good = ["plain", "x" * 255, "ends with dots...", " spaces ", "-rf", "a\\b", "\u200b", "CON", "é" * 127, nfc, nfd]
    twins = ["Case", "case", "CASE"]
    bad = [b"line\nbreak", b"\x7f", b"invalid \xff\xfe", b"tab\t"]
    names = {*map(str.encode, (*good, *twins)), *bad}
    for name in names:
        (one.root / os.fsdecode(name)).write_bytes(name)
    snapshot = await one.sync()
    assert {os.fsencode(path.name) for path in one.root.iterdir()} == names | {b".dbx"}, "the disk keeps its names"
    assert len(snapshot.held) == len(bad)
    assert all(item.reason for item in snapshot.held)
    assert len(await scene.there()) == len(good) + len(twins)
    await two.sync()
    assert read_folder(two.root) == await scene.there()
    assert sorted(path.read_bytes() for path in two.root.iterdir() if path.is_file()) == sorted(
        str(name).encode() for name in (*good, *twins)
    )


@beside_others
async def test_rule_5_case_only_renames_of_files_and_folders_arrive(scene: Scene) -> None:
    one, two = scene.pair()
    write(one.root, readme="1", folder__inner="2")
    await one.sync()
    await two.sync()
    ids = {file.id for file in await scene.ask(lambda: list(scene.client.files.list("/", recursive=True)))}
    (one.root / "readme").rename(one.root / "README")
    (one.root / "folder").rename(one.root / "Folder")
    await one.sync()
    await two.sync()
    assert texts(two) == {"README": "1", "Folder/inner": "2"}
    assert {file.id for file in await scene.ask(lambda: list(scene.client.files.list("/", recursive=True)))} == ids


@beside_others
async def test_rule_5_new_file_whose_name_differs_in_case_from_a_remote_one_is_kept(scene: Scene) -> None:
    device = scene.device()
    write(device.root, **{"x (1).txt": "here"})
    await scene.put("/X (1).TXT", "there")
    assert is_up_to_date(await device.sync())
    assert sorted(texts(device).values()) == ["here", "there"]
    assert sorted((await scene.contents()).values()) == ["here", "there"]


# Rule 6: editors


@beside_others
async def test_rule_6_save_patterns_of_editors_edit_one_file(scene: Scene) -> None:
    device, other = scene.pair()
    names = ("vim", "gedit", "document.odt", "emacs")
    write(device.root, **dict.fromkeys(names, "1"))
    await device.sync()
    ids = {file.name: file.id for file in await scene.ask(lambda: list(scene.client.files.list()))}
    async with running(device.make_engine()) as laptop:
        await laptop.until(is_up_to_date)
        root = device.root
        (root / "4913").write_text("")  # vim tests the folder
        (root / "4913").unlink()
        (root / "vim").rename(root / "vim~")
        write(root, vim="2")
        (root / "vim~").unlink()
        write(root, **{".goutputstream-A1B2C3": "2"})
        (root / ".goutputstream-A1B2C3").rename(root / "gedit")
        write(root, **{".~lock.document.odt#": "me", "lu4711ab.tmp": "2"})
        (root / "lu4711ab.tmp").rename(root / "document.odt")
        write(root, **{"#emacs#": "2", "emacs~": "1"})
        (root / "emacs").write_text("2")
        (root / "#emacs#").unlink()
        await laptop.until(lambda snapshot: is_up_to_date(snapshot) and has_agreed(device, dict.fromkeys(names, "2")))
        # Another device edits the document that is open here: it waits.
        await scene.put("/document.odt", "3")
        await laptop.until(lambda snapshot: any("document.odt" in item.path for item in snapshot.items))
        assert (root / "document.odt").read_text() == "2"
        (root / ".~lock.document.odt#").unlink()
        await laptop.until(lambda snapshot: is_up_to_date(snapshot) and (root / "document.odt").read_text() == "3")
    assert {file.name: file.id for file in await scene.ask(lambda: list(scene.client.files.list()))} == ids
    assert await scene.ask(lambda: list(scene.client.trash.list())) == []
    await other.sync()
    assert texts(other) == dict.fromkeys(names, "2") | {"document.odt": "3"}


# Rule 7: files that are written


@beside_others
async def test_rule_7_database_and_repository_written_meanwhile_arrive_whole(scene: Scene) -> None:
    git = require_program("git")
    one, two = scene.pair()
    repository = one.root / "repository"

    def work() -> None:
        subprocess.run([git, "init", "-q", "-b", "main", repository], check=True)
        with contextlib.closing(sqlite3.connect(one.root / "data.sqlite")) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE rows (n INTEGER)")
            for n in range(40):
                database.executemany("INSERT INTO rows VALUES (?)", [(n,)] * 200)
                database.commit()
                if n % 8 == 0:
                    (repository / f"file{n}").write_text(f"{n}")
                    author = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "gc.auto=0")
                    subprocess.run([git, "-C", repository, "add", "-A"], check=True)
                    subprocess.run([git, "-C", repository, *author, "commit", "-qm", f"{n}"], check=True)
                threading.Event().wait(0.1)  # so that the engine sees states in between

    async with running(one.make_engine()) as first, running(two.make_engine()) as second:
        await scene.ask(work)
        await first.until(lambda snapshot: is_up_to_date(snapshot) and read_folder(one.root) == read_folder(two.root))
        await second.until(is_up_to_date)
    with contextlib.closing(sqlite3.connect(two.root / "data.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT count(*) FROM rows").fetchone() == (8_000,)
    await run_command(git, "-C", two.root / "repository", "fsck", "--strict")
    listed = await run_command(git, "-C", two.root / "repository", "log", "--oneline")
    assert len(listed.splitlines()) == 5
    assert not [path for path in two.root.rglob("*") if is_conflict_name(path.name)]


@beside_others
async def test_rule_7_late_write_of_a_program_to_a_replaced_file_is_kept_in_the_local_trash(scene: Scene) -> None:
    device = scene.device()
    write(device.root, log="1", closed="1")
    await device.sync()
    fd = os.open(device.root / "log", os.O_WRONLY | os.O_APPEND)
    try:
        await scene.put("/log", "2")
        await scene.put("/closed", "2")
        await device.sync()
        assert texts(device) == {"log": "2", "closed": "2"}
        os.write(fd, b" and a late line")
    finally:
        os.close(fd)
    trash = device.root / ".dbx/trash"
    assert [path.read_text() for path in trash.rglob("content/*")] == ["1 and a late line"]
    assert list((device.root / ".dbx/incoming").iterdir()) == []


@beside_others
async def test_rule_7_file_that_is_always_written_holds_up_no_other(scene: Scene) -> None:
    device = scene.device()
    write(device.root, busy="0", quiet="1")
    is_over = threading.Event()

    def keep_writing() -> None:
        while not is_over.wait(0.05):
            with (device.root / "busy").open("a") as file:
                file.write("x")

    writing = threading.Thread(target=keep_writing)
    writing.start()
    try:
        async with running(device.make_engine()) as laptop:
            await laptop.until(lambda now: now.phase != "starting" and "quiet" in known(device))
            await scene.put("/remote", "3")
            (device.root / "quiet").rename(device.root / "moved")
            await laptop.until(lambda _: {"moved", "remote"} <= known(device))
            assert "busy" not in await scene.there()
            is_over.set()
            await laptop.until(lambda snapshot: is_up_to_date(snapshot) and "busy" in known(device))
    finally:
        is_over.set()
        writing.join()
    assert read_folder(device.root) == await scene.there()


# Rule 8: unchanged times


@beside_others
async def test_rule_8_edit_that_keeps_size_and_mtime_is_sent(scene: Scene) -> None:
    device = scene.device()
    write(device.root, same="one")
    await device.sync()
    before = (device.root / "same").stat()
    write(device.root, same="two")
    os.utime(device.root / "same", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert is_up_to_date(await device.sync())
    assert read_folder(device.root) == await scene.there()
