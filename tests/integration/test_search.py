"""Search through HTTP: names in any script, typos, order, filters, pages, and files that it excludes."""

import base64
import random
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest
from sqlalchemy import text

from dropbox_api.files.search import SIMILARITY
from dropbox_api.storage.s3 import S3Config
from tests.support.plans import explain, record_statements
from tests.support.server import (
    UNKNOWN_ID,
    Account,
    RunningServer,
    create_folder,
    problem,
    register_account,
    separate_server,
    upload_file,
)

pytestmark = pytest.mark.usefixtures("invariants_hold")


async def page(account: Account, **query: Any) -> dict[str, Any]:
    answer = await account.client.get("/v1/search", params=query)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


async def search(account: Account, q: str | None = None, **query: Any) -> list[str]:
    """Return the names of all results, best first, read in pages of the given limit."""
    wanted = ({} if q is None else {"q": q}) | query
    names: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        found = await page(account, **wanted, **cursor)
        names += [item["name"] for item in found["items"]]
        if found["next_cursor"] is None:
            return names
        assert len(found["items"]) == query.get("limit", 20)
        cursor = {"cursor": found["next_cursor"]}


async def put(account: Account, *paths: str, **more: Any) -> list[dict[str, Any]]:
    """Upload files with these paths; return them, oldest first."""
    files = []
    for path in paths:
        folder, _, name = path.rpartition("/")
        place = {"folder_path": folder or "/", "on_conflict": "fail"}
        files.append(await upload_file(account, more.get("data", b"x"), name, destination=place, **more.get("as", {})))
    return files


async def trash(account: Account, file_id: str) -> None:
    (await account.client.delete(f"/v1/files/{file_id}")).raise_for_status()


WIDE = "ж" * 100 + "z" * 55
EMOJI = "👩‍👩‍👧‍👦 family 🇨🇭.png"
NAMES = [
    "report.pdf",
    "Quarterly results.xlsx",
    "Fotos 2024",
    "100% sure_thing.txt",
    "100 percent surething.txt",
    'back\\slash\'s "quote".txt',
    "Café\u0301 menu.pdf",
    "r\u00e9sum\u00e9.doc",
    "Straße nach Süden.gpx",
    "STRASSE.txt",
    "İstanbul gezisi.mp4",
    "ISPARTA \u0131l\u0131ca.mp4",
    "Семейные фотографии",
    "日本語の資料.docx",
    "한국어 문서.hwp",
    "مستند نهائي.pdf",
    "תמונה משפחתית.jpg",
    "हिन्दी दस्तावेज़.odt",
    EMOJI,
    WIDE,
    "x" * 251 + ".tgz",
]


RESUME_LIKE = ["r\u00e9sum\u00e9.doc", "Quarterly results.xlsx"]
"""Without accents, the second name is similar to `resume`."""


@pytest.fixture(scope="module")
async def library(server: RunningServer) -> AsyncIterator[Account]:
    """An account with names in many scripts; no test changes it."""
    account = await register_account(server.url)
    async with account.client:
        await put(account, *(f"/library/{name}" for name in NAMES))
        yield account


# Words


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("report", ["report.pdf"]),
        ("REPORT.PDF", ["report.pdf"]),
        ("  results   quarterly ", ["Quarterly results.xlsx"]),
        ("results missing", []),
        # typos
        ("reprot", ["report.pdf"]),
        ("семеные", ["Семейные фотографии"]),
        ("quaterly", ["Quarterly results.xlsx"]),
        ("fotos", ["Fotos 2024"]),
        ("photos", ["Fotos 2024"]),
        ("2025", []),
        # no character is syntax
        ("100%", ["100% sure_thing.txt"]),
        ("sure_thing", ["100% sure_thing.txt", "100 percent surething.txt"]),
        ("%", ["100% sure_thing.txt"]),
        ("_", ["100% sure_thing.txt"]),
        ("\\", ['back\\slash\'s "quote".txt']),
        ("slash's \"quo", ['back\\slash\'s "quote".txt']),
        ("k\\s", ['back\\slash\'s "quote".txt']),
        (".*", []),
        ("(", []),
        ("a/b", []),
        # accents in any composition, and case
        ("résumé", RESUME_LIKE),
        ("re\u0301sume\u0301", RESUME_LIKE),
        ("RE\u0301SUM\u00c9", RESUME_LIKE),
        ("cafe\u0301\u0301", ["Café\u0301 menu.pdf"]),
        ("strasse", ["STRASSE.txt", "Straße nach Süden.gpx"]),
        ("STRAẞE", ["STRASSE.txt", "Straße nach Süden.gpx"]),
        ("SÜDEN", ["Straße nach Süden.gpx"]),
        ("İSTANBUL", ["İstanbul gezisi.mp4"]),
        ("\u0131l\u0131ca", ["ISPARTA \u0131l\u0131ca.mp4"]),
        # without accents, and with more accents than the name
        ("resume", RESUME_LIKE),
        ("resumé doc", ["r\u00e9sum\u00e9.doc"]),
        ("suden strässe", ["Straße nach Süden.gpx"]),
        ("istanbul", ["İstanbul gezisi.mp4"]),
        ("ILICA", ["ISPARTA \u0131l\u0131ca.mp4"]),
        ("семеиные", ["Семейные фотографии"]),
        ("resmue", RESUME_LIKE),  # a typo as well
        ("\u0301", ["Café\u0301 menu.pdf"]),
        # scripts without spaces, right-to-left scripts, single characters
        ("日本語", ["日本語の資料.docx"]),
        ("料", ["日本語の資料.docx"]),
        ("문서", ["한국어 문서.hwp"]),
        ("نهائي", ["مستند نهائي.pdf"]),
        ("משפחתית תמונה", ["תמונה משפחתית.jpg"]),
        ("दस्तावेज़", ["हिन्दी दस्तावेज़.odt"]),
        ("👦", [EMOJI]),
        ("🇨🇭", [EMOJI]),
        ("👩‍👩‍👧‍👦 family", [EMOJI]),
        # longest names
        (WIDE.upper(), [WIDE]),
        ("x" * 251 + ".tgz", ["x" * 251 + ".tgz"]),
        ("x" * 255, []),
        (" ".join("abcdefghijklmnopqrstuvwxyz"), []),
    ],
)
async def test_search_finds_the_words_of_names(library: Account, q: str, found: list[str]) -> None:
    expected = ["Caf\u00e9\u0301 menu.pdf" if "menu" in name else name for name in found]
    assert await search(library, q, kind="file") == expected


async def test_search_result_equals_the_file(library: Account) -> None:
    (item,) = (await page(library, q="report"))["items"]
    assert item["path"] == "/library/report.pdf"
    assert item == (await library.client.get(f"/v1/files/{item['id']}")).json()


async def test_search_orders_better_matches_first(account: Account) -> None:
    """Order: whole name, its beginning, the beginning of a word, any part, similar names."""
    ranked = [
        "Report.pdf",
        "report",
        "reports 2024.txt",
        "report-card.png",
        "annual_report.pdf",
        "my report",
        "nonreporting.txt",
        "reproted.txt",
    ]
    whole, begins, word, part, similar = ranked[:2], ranked[2:4], ranked[4:6], ranked[6:7], ranked[7:]
    paths = [f"/{name}" for name in ranked]
    random.Random(3).shuffle(paths)
    await put(account, *paths)
    newest_first = [path[1:] for path in reversed(paths)]

    def by_age(names: list[str]) -> list[str]:
        return sorted(names, key=newest_first.index)

    expected = [name for rank in (whole, begins, word, part, similar) for name in by_age(rank)]
    for limit in (20, 1, 2, 3, 7):
        assert await search(account, "report", limit=limit) == expected


async def test_search_orders_equal_matches_by_last_change(account: Account) -> None:
    await put(account, "/a/note 1", "/a/note 2", "/a/note 3")
    assert await search(account, "note", limit=1) == ["note 3", "note 2", "note 1"]
    await upload_file(account, b"changed", "note 1", destination={"folder_path": "/a", "on_conflict": "replace"})
    assert await search(account, "note", limit=1) == ["note 1", "note 3", "note 2"]
    assert await search(account, kind="file", limit=2) == ["note 1", "note 3", "note 2"]


async def test_search_with_several_words_matches_all_of_them(account: Account) -> None:
    await put(account, "/budget 2024.xls", "/budget 2023.xls", "/holiday 2024.jpg")
    assert await search(account, "budget 2024") == ["budget 2024.xls"]
    assert await search(account, "2024 budgte") == ["budget 2024.xls"]
    assert await search(account, "bud 20 xls") == ["budget 2023.xls", "budget 2024.xls"]


# Folders and filters


async def test_search_below_a_folder_finds_descendants_only(account: Account) -> None:
    await put(account, "/a/cat 1", "/a/b/c/cat 2", "/cat 3", "/ab/cat 4")
    folder = (await account.client.get("/v1/files/by-path?path=/a")).json()
    assert sorted(await search(account, "cat")) == ["cat 1", "cat 2", "cat 3", "cat 4"]
    for query in ({"path": "/a"}, {"parent_id": folder["id"]}, {"path": "/A/"}):
        assert await search(account, "cat", **query, limit=1) == ["cat 2", "cat 1"]
    assert len(await search(account, "cat", path="/")) == 4
    assert await search(account, "a", path="/a", kind="folder") == []
    assert await search(account, kind="folder", path="/a") == ["c", "b"]


async def test_search_filters_apply_with_and_without_words(account: Account) -> None:
    await create_folder(account, "/pictures")
    types = {"a.jpg": "image/jpeg", "b.png": "Image/PNG", "c.txt": "text/plain; charset=utf-8", "d.imagex": "imagex/y"}
    for size, (name, content_type) in enumerate(types.items(), 1):
        await put(account, f"/pictures/{name}", data=b"x" * size * 10, **{"as": {"content_type": content_type}})
    assert await search(account, content_type="image/") == ["b.png", "a.jpg"]
    assert await search(account, content_type="image/png") == ["b.png"]
    assert await search(account, content_type="IMAGE/JPEG") == ["a.jpg"]
    assert await search(account, content_type="text/plain") == ["c.txt"]
    assert await search(account, content_type="text/plain; charset=utf-8") == ["c.txt"]
    assert await search(account, content_type="text/pla") == []
    assert await search(account, "b", content_type="image/") == ["b.png"]
    assert await search(account, min_bytes=20, max_bytes=30) == ["c.txt", "b.png"]
    assert await search(account, max_bytes=10) == ["a.jpg"]
    assert await search(account, min_bytes=2**63 - 1) == []
    assert await search(account, kind="folder") == ["pictures"]
    assert await search(account, "pictures", kind="file") == []
    assert len(await search(account, kind="file", path="/pictures", limit=3)) == 4


async def test_search_by_time_uses_a_half_open_range(account: Account) -> None:
    first, second = await put(account, "/first", "/second")
    assert await search(account, modified_after=second["modified_at"]) == ["second"]
    assert await search(account, modified_before=second["modified_at"]) == ["first"]
    assert await search(account, modified_after=first["modified_at"], modified_before=second["modified_at"]) == [
        "first"
    ]
    assert await search(account, modified_after="0001-01-01T00:00:00Z") == ["second", "first"]
    assert await search(account, modified_before="9999-12-31T23:59:59Z") == ["second", "first"]


# Accents


@pytest.mark.parametrize(
    ("plain", "accented"),
    [
        ("resume", "résumé"),
        ("naive", "naïve"),
        ("sao", "São"),
        ("lodz", "Łódź"),
        ("angstrom", "Ångström"),
        ("strom", "strøm"),
        ("aether", "Æther"),
        ("tieng viet", "Tiếng Việt"),
    ],
)
async def test_names_match_without_accents_behind_those_that_match_with_them(
    account: Account, plain: str, accented: str
) -> None:
    await put(account, f"/{plain}", f"/new {accented}", f"/{accented}", f"/old {plain}")
    same = [plain, f"old {plain}"], [accented, f"new {accented}"]
    for limit in (1, 20):
        assert await search(account, plain, limit=limit) == [*same[0], *same[1]]
        assert await search(account, accented, limit=limit) == [*same[1], *same[0]]


async def test_every_way_to_name_a_node_sets_its_search_key(account: Account) -> None:
    (file,) = await put(account, "/Łódź/plain")
    at = f"/v1/files/{file['id']}"
    (await account.client.patch(at, json={"name": "Ångström"})).raise_for_status()
    assert await search(account, "angstrom") == ["Ångström"]
    (await account.client.post(f"{at}/copy", json={"name": "naïve"})).raise_for_status()
    folder = (await account.client.get("/v1/files/by-path", params={"path": "/Łódź"})).json()
    (await account.client.post(f"/v1/files/{folder['id']}/copy", json={"name": "São"})).raise_for_status()
    assert await search(account, "naive") == ["naïve", "naïve"]
    (await account.client.post("/v1/folders", json={"name": "Malmö"})).raise_for_status()
    (await account.client.delete(at)).raise_for_status()
    (await account.client.post(f"{at}/restore", json={"name": "über"})).raise_for_status()
    for q in ("lodz", "sao", "malmo", "uber"):
        assert len(await search(account, q)) == 1, q
    (await account.client.patch(at, json={"name": "plain"})).raise_for_status()
    assert await search(account, "uber") == []


# A large account

MANY_NAMES = """
    INSERT INTO nodes (id, owner_id, parent_id, kind, name, name_key)
    SELECT gen_random_uuid(), :me, :parent_id, 'folder', name, name
    FROM (SELECT md5('a' || i) || ' report ' || md5('b' || i) || '.txt' AS name FROM generate_series(1, 20000) i) made
"""


async def test_search_for_rare_words_uses_the_trigram_index(postgres_url: str, s3_config: S3Config) -> None:
    async with separate_server(postgres_url, s3_config) as large:
        account = await register_account(large.url)
        async with account.client:
            root = (await account.client.get("/v1/files/by-path?path=/")).json()
            async with large.db.begin() as tx:
                await tx.execute(text(MANY_NAMES), {"me": (await account.me())["id"], "parent_id": root["id"]})
            await put(account, "/Quarterly results.xlsx")
            async with large.db.read() as tx:
                # As autovacuum does: new rows wait in the pending list of the index and make it expensive.
                await tx.exec_driver_sql("VACUUM ANALYZE nodes")
            for q in ("quarterly", "results quart", "quaterly", "resluts quarterly"):
                with record_statements(large.db) as seen:
                    assert await search(account, q) == ["Quarterly results.xlsx"]
                looks = [question for question in seen if "nodes.name_key) LIKE" in question[0]]
                assert len(looks) == 2, "first parts of names, then similar names"
                for question in looks:
                    nodes = await explain(large.db, question, pg_trgm__word_similarity_threshold=str(SIMILARITY))
                    assert "nodes_search_trgm_idx" in {node.get("Index Name") for node in nodes}, q
                    assert not any(node["Node Type"] == "Seq Scan" for node in nodes), q


# Exclusions


async def test_search_excludes_the_trash(account: Account) -> None:
    (kept, *_) = await put(account, "/cat", *(f"/a/b/cat {n}" for n in range(9)), "/a/catalogue")
    folder = (await account.client.get("/v1/files/by-path?path=/a/b")).json()
    await trash(account, folder["id"])
    for limit in (1, 20):
        assert await search(account, "cat", limit=limit) == ["cat", "catalogue"]
    above = (await account.client.get("/v1/files/by-path?path=/a")).json()
    await trash(account, above["id"])
    await trash(account, kept["id"])
    assert await search(account, "cat") == []
    assert await search(account, "catt") == []
    assert await search(account, kind="file") == []
    query = {"q": "cat", "parent_id": above["id"]}
    assert problem(await account.client.get("/v1/search", params=query)) == (404, "not-found")
    (await account.client.post(f"/v1/files/{above['id']}/restore")).raise_for_status()
    assert await search(account, "cat") == ["catalogue"]
    (await account.client.post(f"/v1/files/{folder['id']}/restore")).raise_for_status()
    assert len(await search(account, "cat", limit=2)) == 10


async def test_search_excludes_files_of_other_accounts(account: Account, library: Account) -> None:
    for q in ("report", "reprot", "library", "日本語"):
        assert await search(account, q) == []
    assert await search(account, kind="file") == []
    folder = (await library.client.get("/v1/files/by-path?path=/library")).json()
    query = {"q": "report", "parent_id": folder["id"]}
    assert problem(await account.client.get("/v1/search", params=query)) == (404, "not-found")


async def test_search_excludes_the_root_folder(account: Account) -> None:
    assert await search(account, kind="folder") == []


async def test_search_without_a_token_is_401(api: httpx2.AsyncClient) -> None:
    assert problem(await api.get("/v1/search?q=a")) == (401, "unauthenticated")


# Invalid queries


def forged(*key: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


NOW = "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ({}, "invalid-request"),
        ({"q": ""}, "invalid-request"),
        ({"q": "  \t "}, "invalid-request"),
        ({"q": "a\0b"}, "invalid-request"),
        ({"q": "x" * 256}, "invalid-request"),
        ({"q": "x" * 5000}, "invalid-request"),
        ({"path": "/library"}, "invalid-request"),
        ({"limit": "5"}, "invalid-request"),
        ({"q": "a", "limit": "0"}, "invalid-request"),
        ({"q": "a", "limit": "101"}, "invalid-request"),
        ({"q": "a", "limit": "x"}, "invalid-request"),
        ({"kind": "link"}, "invalid-request"),
        ({"min_bytes": "-1"}, "invalid-request"),
        ({"min_bytes": str(2**63)}, "invalid-request"),
        ({"max_bytes": str(10**40)}, "invalid-request"),
        ({"max_bytes": "1.5"}, "invalid-request"),
        ({"content_type": "image"}, "invalid-request"),
        ({"content_type": "image/%"}, "invalid-request"),
        ({"content_type": "image/a\0"}, "invalid-request"),
        ({"modified_after": "2026-01-01T00:00:00"}, "invalid-request"),
        ({"modified_after": "yesterday"}, "invalid-request"),
        ({"modified_before": "9999-12-31T23:59:59-01:00"}, "invalid-request"),
        ({"q": "a", "parent_id": UNKNOWN_ID, "path": "/"}, "invalid-request"),
        ({"q": "a", "parent_id": "x"}, "invalid-request"),
        ({"q": "a", "path": "/a/../b"}, "invalid-name"),
        ({"q": "a", "path": "/nowhere"}, "not-found"),
        ({"q": "a", "parent_id": UNKNOWN_ID}, "not-found"),
        ({"q": "a", "path": "/library/report.pdf"}, "not-a-folder"),
        ({"q": "a", "cursor": "x"}, "invalid-cursor"),
        ({"q": "a", "cursor": forged("files name", "a")}, "invalid-cursor"),
        ({"q": "a", "cursor": forged("search", 101, NOW)}, "invalid-cursor"),
        ({"q": "a", "cursor": forged("search", 101, NOW, "x")}, "invalid-cursor"),
        ({"q": "a", "cursor": forged("search", 101, "now", UNKNOWN_ID)}, "invalid-cursor"),
        ({"q": "a", "cursor": forged("search", 2**63, NOW, UNKNOWN_ID)}, "invalid-cursor"),
        ({"q": "a", "cursor": forged("search", "101", NOW, UNKNOWN_ID)}, "invalid-cursor"),
    ],
    ids=str,
)
async def test_search_with_an_invalid_query_is_refused(library: Account, query: dict[str, str], answer: str) -> None:
    status = {"not-found": 404, "not-a-folder": 409}.get(answer, 422)
    assert problem(await library.client.get("/v1/search", params=query)) == (status, answer)


@pytest.mark.parametrize("score", [2**63 - 1, -(2**63), 2**40, 0])
async def test_search_with_a_made_up_cursor_succeeds(library: Account, score: int) -> None:
    """Cursors are not signed, so a made-up one must not cause an error."""
    await page(library, q="report", cursor=forged("search", score, NOW, str(uuid.uuid4())))


async def test_search_for_random_text_never_fails(library: Account) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    signs = "%_\\'\"()[]{}*+?.^$|&!<>:;,-#~ \t\u200b\u202e\ufeff\U0010ffff" + "aé日🙂ß"
    for _ in range(50):
        q = "".join(chance.choice(signs) for _ in range(chance.randrange(1, 60)))
        answer = await library.client.get("/v1/search", params={"q": q, "limit": "100"})
        assert answer.status_code == 200 or (q.isspace() and answer.status_code == 422), repr(q)
