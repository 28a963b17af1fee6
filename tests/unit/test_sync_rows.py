"""The table of the planner, row by row. B is base, L the disk, R the server; = unchanged, D changed, 0 gone, - never.

`docs/adr/0036-three-trees.md` has the table. A plan is compared as text, stage by stage: `Action id`, and what it says.
"""

from collections.abc import Iterable
from typing import Any

import pytest

from dropbox_client.sync import trees
from dropbox_client.sync.names import RootTraits
from dropbox_client.sync.plan import Situation, make_plan
from dropbox_client.sync.trees import (
    SHARED_ID,
    Action,
    BaseEntry,
    ContentId,
    LocalEntry,
    Mount,
    Plan,
    RemoteEntry,
    Tree,
    Trees,
)

ROOT = "root"
OWN = {ROOT: Mount(ROOT, "own", owner="me")}
COPY = " (conflict copy of laptop 2026-11-30)"


def content(number: int | None) -> ContentId | None:
    return None if number is None else ContentId(f"c{number}", number)


def kind_of(number: int | None) -> Any:
    return "folder" if number is None else "file"


def base(node_id: str, number: int | None = None, parent: str = ROOT, name: str = "", **more: Any) -> BaseEntry:
    name = name or node_id
    local_name = more.pop("local_name", name.encode())
    revision = None if number is None else f"r{number}"
    return BaseEntry(node_id, parent, name, local_name, kind_of(number), content(number), revision, 1, **more)


def local(node_id: str, number: int | None = None, parent: str = ROOT, name: str = "", **more: Any) -> LocalEntry:
    kind = more.pop("kind", kind_of(number))
    return LocalEntry(node_id, parent, (name or node_id).encode(), kind, content(number), **more)


def remote(node_id: str, number: int | None = None, parent: str = ROOT, name: str = "", **more: Any) -> RemoteEntry:
    revision = None if number is None else f"r{number}"
    version = more.pop("version", 1)
    return RemoteEntry(node_id, parent, name or node_id, kind_of(number), content(number), revision, version, **more)


def make_trees(
    was: Iterable[BaseEntry] = (), disk: Iterable[LocalEntry] = (), server: Iterable[RemoteEntry] = (), **more: Any
) -> Trees:
    mounts = more.pop("mounts", OWN)
    roots = (
        BaseEntry(ROOT, None, "", b"", "folder", None, None, 1),
        LocalEntry(ROOT, None, b"", "folder", None),
        RemoteEntry(ROOT, None, "", "folder", None, None, 1),
    )
    return Trees(ROOT, Tree([roots[0], *was]), Tree([roots[1], *disk]), Tree([roots[2], *server]), mounts, **more)


def plan(*sides: Any, situation: Situation | None = None, **more: Any) -> Plan:
    return make_plan(make_trees(*sides, **more), situation or Situation("laptop", "2026-11-30", 100))


def show(made: Plan) -> list[list[str]]:
    return [sorted(map(describe, stage)) for stage in made.stages]


def describe(action: Action) -> str:
    entry: Any = getattr(action, "remote", None) or getattr(action, "local", None) or getattr(action, "entry", None)
    words = [type(action).__name__, entry.id if entry else getattr(action, "id", "")]
    match action:
        case trees.LookUp():
            words[1] = ",".join(action.ids)
        case trees.Adopt() | trees.Pair():
            words = [
                words[0],
                action.local.id,
                "as",
                action.remote.id if isinstance(action, trees.Adopt) else action.base.id,
            ]
        case trees.Download() if action.local is not None:
            words.append("over")
        case trees.SendEdit():
            words = [words[0], action.base.id, "base", str(action.base.revision_id)]
        case trees.TrashRemote():
            words += ["below", *(one.id for one in action.below)] if action.below else []
        case trees.Detach():
            words += ["keep"] if action.keeps_base else []
        case trees.PlaceMount() | trees.MarkLocal() | trees.MarkRemote() | trees.TrashLocal() | trees.DropBase():
            pass
        case _:
            name = action.name.decode() if isinstance(action.name, bytes) else action.name
            words.append(f"{action.parent}/{name}")
    return " ".join(words)


def test_never_new_never_creates_folders_first() -> None:
    made = plan((), [local("+1", name="d"), local("+2", 5, "+1", "f")], ())
    assert show(made) == [["MakeRemote +1 root/d"], ["SendNew +2 +1/f"]]


def test_never_new_never_with_the_hash_of_a_vanished_node_is_a_move() -> None:
    made = plan([base("a", 5)], [local("+1", 5, name="b")], [remote("a", 5)])
    assert show(made) == [["Pair +1 as a"], ["MoveRemote a root/b"]]


@pytest.mark.parametrize("others", [[local("+2", 5, name="c")], []])
def test_never_new_never_with_an_ambiguous_or_empty_hash_is_no_move(others: list[LocalEntry]) -> None:
    size = 5 if others else 0
    made = plan([base("a", size)], [local("+1", size, name="b"), *others], [remote("a", size)])
    assert "Pair" not in str(show(made))


def test_file_written_anew_at_its_place_is_an_edit_of_its_node() -> None:
    made = plan([base("f", 5)], [local("+1", 6, name="f")], [remote("f", 5)])
    assert show(made) == [["Pair +1 as f"], ["SendEdit f base r5"]]


def test_never_never_new_downloads_and_makes_folders_first() -> None:
    made = plan((), (), [remote("d"), remote("f", 5, "d")])
    assert show(made) == [["MakeLocal d root/d"], ["Download f d/f"]]


def test_never_new_new_equal_adopts_at_every_depth() -> None:
    made = plan(
        (), [local("+1", name="D"), local("+2", 5, "+1", "f")], [remote("d"), remote("f", 5, "d"), remote("g", 6, "d")]
    )
    assert show(made) == [["Adopt +1 as d", "Adopt +2 as f"], ["Download g d/g"]]


def test_never_new_new_different_files_keep_the_local_one_as_conflict_copy() -> None:
    assert show(plan((), [local("+1", 5, name="f")], [remote("f", 6)])) == [[f"CopyConflict +1 root/f{COPY}"]]


def test_never_new_new_file_and_folder_give_the_file_a_suffix() -> None:
    made = plan((), [local("+1", 5, name="x")], [remote("x")])
    assert show(made) == [["MoveLocal +1 root/x (1)"], ["MakeLocal x root/x"]]
    made = plan((), [local("+1", name="x")], [remote("x", 5)])
    assert show(made) == [["MoveRemote x root/x (1)"], ["MakeRemote +1 root/x"]]


def test_suffix_is_one_that_is_free_on_both_sides() -> None:
    disk = [local("+1", 5, name="x"), local("+2", 6, name="x (1)")]
    made = plan((), disk, [remote("x"), remote("n", 7, name="x (2)")])
    assert "MoveLocal +1 root/x (3)" in show(made)[0]


def test_yes_same_same_does_nothing() -> None:
    made = plan([base("d"), base("f", 5, "d")], [local("d"), local("f", 5, "d")], [remote("d"), remote("f", 5, "d")])
    assert made == Plan(())


def test_yes_changed_same_uploads_by_id_and_base() -> None:
    assert show(plan([base("f", 5)], [local("f", 6)], [remote("f", 5)])) == [["SendEdit f base r5"]]


def test_yes_same_changed_downloads_over_it() -> None:
    assert show(plan([base("f", 5)], [local("f", 5)], [remote("f", 6)])) == [["Download f over"]]


def test_yes_changed_changed_equal_adopts() -> None:
    assert show(plan([base("f", 5)], [local("f", 6)], [remote("f", 6)])) == [["Adopt f as f"]]


def test_yes_changed_changed_makes_a_conflict_copy() -> None:
    assert show(plan([base("f", 5)], [local("f", 6)], [remote("f", 7)])) == [[f"CopyConflict f root/f{COPY}"]]


def test_yes_gone_same_trashes_the_top_node_with_all_that_was_seen_below() -> None:
    nodes = [remote("d", version=3), remote("f", 5, "d", version=4), remote("g", 6, "d")]
    made = plan([base("d"), base("f", 5, "d"), base("g", 6, "d")], (), nodes)
    (action,) = made.stages[0]
    assert isinstance(action, trees.TrashRemote)
    assert (action.remote.version, [(one.id, one.version) for one in action.below]) == (3, [("f", 4), ("g", 1)])


@pytest.mark.parametrize("fate", ["trashed", "deleted", "live"])
def test_yes_same_gone_in_the_own_tree_is_looked_up_then_goes_to_the_local_trash(fate: Any) -> None:
    assert show(plan([base("f", 5)], [local("f", 5)], ())) == [["LookUp f"]]
    assert show(plan([base("f", 5)], [local("f", 5)], (), fates={"f": fate})) == [["TrashLocal f"]]


def test_yes_same_gone_unknown_to_the_server_is_held() -> None:
    made = plan([base("f", 5)], [local("f", 5)], (), fates={"f": "unknown"})
    assert not made.stages
    assert [one.id for one in made.held] == ["f"]


def test_yes_gone_gone_drops_base() -> None:
    assert show(plan([base("f", 5)], (), ())) == [["DropBase f"]]


def test_yes_changed_gone_uploads_with_its_base() -> None:
    made = plan([base("f", 5)], [local("f", 6)], (), fates={"f": "trashed"})
    assert show(made) == [["SendEdit f base r5"]]
    made = plan([base("f", 5)], [local("f", 6)], (), fates={"f": "deleted"})
    assert show(made) == [["Detach f"]]


def test_yes_gone_changed_downloads_again() -> None:
    assert show(plan([base("f", 5)], (), [remote("f", 6)])) == [["Download f root/f"]]


def test_yes_moved_same_moves_the_node() -> None:
    made = plan(
        [base("d"), base("f", 5)], [local("d"), local("f", 5, "d", "g")], [remote("d"), remote("f", 5, version=7)]
    )
    assert show(made) == [["MoveRemote f d/g"]]
    (action,) = made.stages[0]
    assert isinstance(action, trees.MoveRemote)
    assert action.remote.version == 7


def test_yes_same_moved_renames_on_disk() -> None:
    assert show(plan([base("f", 5)], [local("f", 5)], [remote("f", 5, name="g")])) == [["MoveLocal f root/g"]]


def test_yes_moved_moved_to_one_place_adopts() -> None:
    made = plan([base("f", 5)], [local("f", 5, name="g")], [remote("f", 5, name="g")])
    assert show(made) == [["Adopt f as f"]]


def test_yes_moved_moved_lets_the_server_win() -> None:
    made = plan([base("f", 5)], [local("f", 5, name="g")], [remote("f", 5, name="h")])
    assert show(made) == [["MoveLocal f root/h"]]


def test_yes_moved_changed_does_both() -> None:
    made = plan([base("f", 5)], [local("f", 5, name="g")], [remote("f", 6)])
    assert show(made) == [["MoveRemote f root/g"]]
    made = plan([base("f", 5, name="g")], [local("f", 5, name="g")], [remote("f", 6, name="g")])
    assert show(made) == [["Download f over"]]


def test_yes_changed_moved_does_both() -> None:
    assert show(plan([base("f", 5)], [local("f", 6)], [remote("f", 5, name="g")])) == [["MoveLocal f root/g"]]
    made = plan([base("f", 5, name="g")], [local("f", 6, name="g")], [remote("f", 5, name="g")])
    assert show(made) == [["SendEdit f base r5"]]


def test_yes_moved_and_changed_same_is_a_move_then_an_upload() -> None:
    assert show(plan([base("f", 5)], [local("f", 6, name="g")], [remote("f", 5)])) == [["MoveRemote f root/g"]]


def test_yes_moved_gone_goes_to_the_local_trash_unless_changed() -> None:
    assert show(plan([base("f", 5)], [local("f", 5, name="g")], (), fates={"f": "trashed"})) == [["TrashLocal f"]]
    assert show(plan([base("f", 5)], [local("f", 6, name="g")], (), fates={"f": "deleted"})) == [["Detach f"]]


def test_yes_gone_moved_trashes_the_node() -> None:
    assert show(plan([base("f", 5)], (), [remote("f", 5, name="g", version=9)])) == [["TrashRemote f"]]


def test_folder_gone_child_changed_keeps_folder_and_child_and_trashes_the_rest() -> None:
    made = plan(
        [base("d"), base("f", 5, "d"), base("g", 6, "d")], (), [remote("d"), remote("f", 7, "d"), remote("g", 6, "d")]
    )
    assert show(made) == [["MakeLocal d root/d"], ["Download f d/f"], ["TrashRemote g"]]


def test_folder_child_changed_gone_makes_the_folder_anew() -> None:
    fates: Any = dict.fromkeys("dfg", "trashed")
    made = plan(
        [base("d"), base("f", 5, "d"), base("g", 6, "d")],
        [local("d"), local("f", 7, "d"), local("g", 6, "d")],
        (),
        fates=fates,
    )
    assert show(made) == [["Detach d"], ["Detach f"], ["TrashLocal g"]]


def test_folder_gone_with_new_files_inside_is_made_anew() -> None:
    made = plan([base("d")], [local("d"), local("+1", 5, "d", "f")], (), fates={"d": "trashed"})
    assert show(made) == [["Detach d"]]


def test_cycle_with_remote_moves_undoes_the_local_move() -> None:
    made = plan([base("a"), base("b")], [local("a", parent="b"), local("b")], [remote("a"), remote("b", parent="a")])
    assert show(made) == [["MoveLocal a root/a"], ["MoveLocal b a/b"]]


def test_swap_on_disk_parks_one_node() -> None:
    made = plan(
        [base("n1", 5, name="a"), base("n2", 6, name="b")],
        [local("n1", 5, name="b"), local("n2", 6, name="a")],
        [remote("n1", 5, name="a"), remote("n2", 6, name="b")],
    )
    assert show(made) == [["Park n2 root/b (moving n2)"]]
    made = plan(
        [base("n1", 5, name="a"), base("n2", 6, name="b (moving n2)")],
        [local("n1", 5, name="b"), local("n2", 6, name="a")],
        [remote("n1", 5, name="a"), remote("n2", 6, name="b (moving n2)")],
    )
    assert show(made) == [["MoveRemote n1 root/b"], ["MoveRemote n2 root/a"]]


def test_swap_on_the_server_parks_one_file() -> None:
    made = plan(
        [base("n1", 5, name="a"), base("n2", 6, name="b")],
        [local("n1", 5, name="a"), local("n2", 6, name="b")],
        [remote("n1", 5, name="b"), remote("n2", 6, name="a")],
    )
    assert show(made) == [["Park n2 root/b (moving n2)"]]


def test_folder_gone_waits_for_what_was_moved_out_of_it() -> None:
    sides = ([base("d"), base("f", 5, "d")], [local("f", 5)], [remote("d"), remote("f", 5, "d")])
    assert show(plan(*sides)) == [["MoveRemote f root/f"]]


def test_chain_of_names_moves_in_order() -> None:
    made = plan(
        [base("n1", 5, name="a"), base("n2", 6, name="b")],
        [local("n1", 5, name="b"), local("n2", 6, name="c")],
        [remote("n1", 5, name="a"), remote("n2", 6, name="b")],
    )
    assert show(made) == [["MoveRemote n2 root/c"], ["MoveRemote n1 root/b"]]


def test_folder_that_takes_the_name_of_its_deleted_folder_parks_that_one() -> None:
    made = plan([base("d"), base("e", parent="d")], [local("e", name="d")], [remote("d"), remote("e", parent="d")])
    assert show(made) == [["Park d root/d (moving d)"]]


def test_kind_changed_creates_and_deletes_last() -> None:
    made = plan([base("x", 5)], [local("x")], [remote("x", 5)])
    assert show(made) == [["Detach x keep"]]
    made = plan([base("x", 5)], [local("+1", name="x")], [remote("x", 5)])
    assert show(made) == [["TrashRemote x"]]


def shares(access: Any, **more: Any) -> dict[str, Any]:
    """Return the mounts of a share `s`, and the three trees with it."""
    return {"mounts": {**OWN, SHARED_ID: Mount(SHARED_ID, "viewer"), "s": Mount("s", access, owner="bob", **more)}}


def shared(was: Any = (), disk: Any = (), server: Any = ()) -> tuple[Any, Any, Any]:
    return (
        [base(SHARED_ID, name="Shared with me"), base("s", parent=SHARED_ID), *was],
        [local(SHARED_ID, name="Shared with me"), local("s", parent=SHARED_ID), *disk],
        [remote(SHARED_ID, name="Shared with me"), remote("s", parent=SHARED_ID), *server],
    )


def test_across_owners_uploads_first_and_trashes_the_source_last() -> None:
    sides = shared([base("f", 5, "s")], [local("f", 5)], [remote("f", 5, "s")])
    assert show(plan(*sides, **shares("editor"))) == [["Detach f keep"]]
    sides = shared([base("f", 5, "s")], [local("+1", 5, name="f")], [remote("f", 5, "s")])
    assert show(plan(*sides, **shares("editor"))) == [["SendNew +1 root/f"]]
    sides = shared(
        [base("f", 5, "s"), base("n", 5, name="f")],
        [local("n", 5, name="f")],
        [remote("f", 5, "s"), remote("n", 5, name="f")],
    )
    assert show(plan(*sides, **shares("editor"))) == [["TrashRemote f"]]


def test_ignored_and_unselected_nodes_do_nothing_but_clean_unselected_files_leave_the_disk() -> None:
    assert show(plan([base("f", 5)], [local("f", 6)], [remote("f", 7, selection="ignored")])) == []
    assert show(plan([base("f", 5)], [local("f", 6, status="unmanaged")], [remote("f", 7)])) == []
    assert show(plan([base("f", 5)], (), [remote("f", 5, selection="unselected")])) == [["DropBase f"]]
    assert show(plan([base("f", 5)], [local("f", 5)], [remote("f", 5, selection="unselected")])) == [["TrashLocal f"]]
    assert show(plan([base("f", 5)], [local("f", 6)], [remote("f", 5, selection="unselected")])) == []


def test_folder_with_unselected_files_is_not_deleted() -> None:
    sides = (
        [base("d"), base("g", 6, "d")],
        (),
        [remote("d"), remote("f", 5, "d", selection="unselected"), remote("g", 6, "d")],
    )
    assert show(plan(*sides)) == [["TrashRemote g"]]


@pytest.mark.parametrize("status", ["busy", "unknown", "unreadable", "invalid"])
def test_unknown_entry_stops_what_is_at_and_above_it_and_nothing_else(status: Any) -> None:
    sides = (
        [base("d"), base("f", 5, "d"), base("g", 6)],
        [local("d"), local("f", None, "d", status=status, kind="file"), local("g", 6)],
        [remote("d", name="e"), remote("f", 7, "d"), remote("g", 8)],
    )
    made = plan(*sides)
    assert show(made) == [["Download g over"]]
    assert [one.id for one in made.held] == ["d", "f"]


def test_unknown_folder_hides_what_was_in_it() -> None:
    made = plan(
        [base("d"), base("f", 5, "d"), base("g", 6)],
        [local("d", status="unknown")],
        [remote("d"), remote("f", 5, "d"), remote("g", 6)],
    )
    assert show(made) == []


@pytest.mark.parametrize("is_unknown", [True, False])
def test_no_delete_or_create_while_a_directory_is_dirty_or_unknown(is_unknown: bool) -> None:
    sides = (
        [base("d"), base("gone", 5), base("lost", 6), base("both", 7), base("edit", 8), base("move", 9)],
        [
            local("d", status="unknown" if is_unknown else "ok"),
            *[local("+1", 1), local("+2"), local("lost", 6), local("edit", 80), local("move", 9, name="moved")],
        ],
        [remote("d"), remote("gone", 5), remote("new", 2), remote("folder"), remote("edit", 8), remote("move", 9)],
    )
    made = plan(*sides, fates={"lost": "trashed"}, is_settled=is_unknown)
    assert show(made) == [["MoveRemote move root/moved"], ["SendEdit edit base r8"]]


def test_viewers_share_puts_back_what_was_changed_moved_or_deleted() -> None:
    sides = shared([base("f", 5, "s")], [local("f", 6, "s")], [remote("f", 5, "s")])
    assert show(plan(*sides, **shares("viewer"))) == [[f"CopyConflict f root/f{COPY}"]]
    sides = shared([base("f", 5, "s")], [local("f", 5, "s", "g")], [remote("f", 5, "s")])
    assert show(plan(*sides, **shares("viewer"))) == [["MoveLocal f s/f"]]
    sides = shared([base("f", 5, "s")], (), [remote("f", 5, "s")])
    assert show(plan(*sides, **shares("viewer"))) == [["Download f s/f"]]


def test_viewers_share_does_not_send_new_files_and_shows_them() -> None:
    made = plan(*shared((), [local("+1", 5, "s", "f")], ()), **shares("viewer"))
    assert show(made) == []
    assert [one.id for one in made.held] == ["+1"]


def test_viewers_share_gives_back_a_node_that_was_moved_into_it() -> None:
    sides = shared([base("f", 5)], [local("f", 5, "s")], [remote("f", 5)])
    assert show(plan(*sides, **shares("viewer"))) == [["MoveLocal f root/f"]]


def test_viewers_share_copies_what_was_moved_out_and_puts_it_back() -> None:
    sides = shared([base("f", 5, "s")], [local("f", 5)], [remote("f", 5, "s")])
    assert show(plan(*sides, **shares("viewer"))) == [["Detach f keep"]]
    sides = shared([base("f", 5, "s")], [local("+1", 5, name="f")], [remote("f", 5, "s")])
    assert show(plan(*sides, **shares("viewer"))) == [["Download f s/f", "SendNew +1 root/f"]]


def test_share_removal_needs_a_proof() -> None:
    sides = shared([base("f", 5, "s")], [local("f", 5, "s")], ())
    assert show(plan(*sides, **shares("viewer"))) == [["LookUp f"]]
    assert show(plan(*sides, **shares("viewer"), fates={"f": "unknown"})) == []
    assert show(plan(*sides, **shares("viewer"), fates={"f": "removed"})) == [["TrashLocal f"]]


def test_revoked_share_leaves_clean_files_to_the_local_trash_and_copies_changed_ones_outside() -> None:
    was, disk, _ = shared(
        [base("f", 5, "s"), base("g", 6, "s"), base("d", parent="s")],
        [local("f", 5, "s"), local("g", 7, "s"), local("d", parent="s"), local("+1", 8, "s", "new")],
    )
    made = plan(was, disk, [remote(SHARED_ID, name="Shared with me")], **shares("editor", is_active=False))
    assert show(made) == [
        [f"CopyConflict +1 root/new{COPY}", f"CopyConflict g root/g{COPY}"],
        ["TrashLocal d", "TrashLocal f"],
    ]


def test_revoked_share_keeps_the_mount_of_a_nested_grant() -> None:
    mounts: Any = shares("editor", is_active=False)
    mounts["mounts"]["n"] = Mount("n", "editor", owner="bob")
    was, disk, _ = shared([base("n", parent="s"), base("f", 5, "n")], [local("n", parent="s"), local("f", 6, "n")])
    nodes = [remote(SHARED_ID, name="Shared with me"), remote("n", parent=SHARED_ID), remote("f", 5, "n")]
    made = plan(was, disk, nodes, **mounts)
    assert show(made) == [["MoveLocal n shared-with-me/n"], ["SendEdit f base r5"]]


def test_mount_root_moved_changes_only_its_local_place() -> None:
    was, disk, server = shared()
    disk[-1] = local("s", name="work")
    assert show(plan(was, disk, server, **shares("editor"))) == [["PlaceMount s"]]


def test_mount_root_gone_asks_and_never_trashes() -> None:
    was, disk, server = shared([base("f", 5, "s")], (), [remote("f", 5, "s")])
    made = plan(was, disk[:1], server, **shares("editor"))
    assert show(made) == []
    assert [(brake.kind, brake.ids) for brake in made.brakes] == [("unmount", ("s",))]
    again = Situation("laptop", "2026-11-30", 100, answers={"s": "rejected"})
    made = plan(was, disk[:1], server, situation=again, **shares("editor"))
    assert show(made)[0] == ["MakeLocal s shared-with-me/s"]


def test_mount_root_gone_is_not_the_new_folder_of_its_name() -> None:
    was, disk, server = shared([base("f", 5, "s")], (), [remote("f", 5, "s")])
    made = plan(was, [disk[0], local("+1", parent=SHARED_ID, name="s")], server, **shares("editor"))
    assert show(made) == []


def test_new_file_in_a_folder_that_is_not_selected_any_more_is_not_sent() -> None:
    made = plan([base("d")], [local("d"), local("+1", 5, "d")], [remote("d", selection="unselected")])
    assert show(made) == []


def test_content_that_failed_its_fingerprint_keeps_the_old_version_and_waits() -> None:
    made = plan([base("f", 5)], [local("f", 5)], [remote("f", 6, is_refused=True)])
    assert show(made) == []
    assert [one.id for one in made.held] == ["f"]


@pytest.mark.parametrize("status", ["quarantined", "damaged"])
def test_quarantined_or_damaged_content_is_not_downloaded_and_shown(status: Any) -> None:
    for sides in (
        ((), (), [remote("f", 6, content_status=status)]),
        ([base("f", 5)], [local("f", 5)], [remote("f", 6, content_status=status)]),
        ([base("f", 5)], [local("f", 7)], [remote("f", 6, content_status=status)]),
    ):
        made = plan(*sides)
        assert show(made) == []
        assert [one.id for one in made.held] == ["f"]


def test_order_is_rows_folders_moves_content_remote_deletes_local_deletes() -> None:
    made = plan(
        [base("m", 1), base("e", 2), base("x", 3), base("y", 4), base("z"), base("w", 6, "z")],
        [local("+1", name="d"), local("m", 1, "+1"), local("e", 20), local("y", 4), local("z"), local("w", 6, "z")],
        [remote("m", 1), remote("e", 2), remote("x", 3)],
        fates={"y": "trashed", "z": "trashed", "w": "trashed"},
    )
    assert show(made) == [
        ["MakeRemote +1 root/d"],
        ["MoveRemote m +1/m"],
        ["SendEdit e base r2"],
        ["TrashRemote x"],
        ["TrashLocal w"],
        ["TrashLocal y", "TrashLocal z"],
    ]


def many(count: int) -> list[str]:
    return [f"n{number:04}" for number in range(count)]


@pytest.mark.parametrize(
    ("count", "files", "is_asked"),
    [(20, 20, False), (21, 42, False), (21, 41, True), (1000, 9000, False), (1001, 9000, True)],
)
def test_mass_deletion_on_disk_asks_first(count: int, files: int, is_asked: bool) -> None:
    sides = ([base(one, 5) for one in many(count)], (), [remote(one, 5) for one in many(count)])
    made = plan(*sides, situation=Situation("laptop", "2026-11-30", files))
    assert [brake.kind for brake in made.brakes] == (["local-deletes"] if is_asked else [])
    assert bool(made.stages) is not is_asked
    if is_asked:
        confirmed = Situation("laptop", "2026-11-30", files, answers=dict.fromkeys(made.brakes[0].ids, "confirmed"))
        assert len(plan(*sides, situation=confirmed).stages[0]) == count
        rejected = Situation("laptop", "2026-11-30", files, answers=dict.fromkeys(made.brakes[0].ids, "rejected"))
        assert show(plan(*sides, situation=rejected))[0][0] == "Download n0000 root/n0000"


def test_mass_deletion_on_the_server_asks_first() -> None:
    fates: Any = dict.fromkeys(many(30), "trashed")
    sides = ([base(one, 5) for one in many(30)], [local(one, 5) for one in many(30)], ())
    made = plan(*sides, fates=fates, situation=Situation("laptop", "2026-11-30", 40))
    assert [brake.kind for brake in made.brakes] == ["remote-deletes"]
    assert not made.stages
    rejected = Situation("laptop", "2026-11-30", 40, answers=dict.fromkeys(many(30), "rejected"))
    assert show(plan(*sides, fates=fates, situation=rejected))[0][0] == "Detach n0000"


def test_more_than_twenty_conflicts_in_ten_minutes_ask_first() -> None:
    sides = ([base("f", 5)], [local("f", 6)], [remote("f", 7)])
    assert not plan(*sides, situation=Situation("laptop", "2026-11-30", 9, recent_conflicts=19)).brakes
    made = plan(*sides, situation=Situation("laptop", "2026-11-30", 9, recent_conflicts=20))
    assert [brake.kind for brake in made.brakes] == ["conflicts"]
    assert not made.stages


def test_case_twin_on_disk_gets_a_suffix_on_the_server() -> None:
    made = plan((), [local("+1", 5, name="a"), local("+2", 6, name="A")], ())
    assert show(made) == [["SendNew +1 root/a (1)", "SendNew +2 root/A"]]


def test_composition_twin_on_disk_gets_a_suffix_on_the_server() -> None:
    made = plan((), [local("+1", 5, name="e\u0301"), local("+2", 6, name="\u00e9")], ())
    assert show(made) == [["SendNew +1 root/\u00e9", "SendNew +2 root/\u00e9 (1)"]]


def test_case_only_rename_is_a_move() -> None:
    assert show(plan([base("f", 5, name="a")], [local("f", 5, name="A")], [remote("f", 5, name="a")])) == [
        ["MoveRemote f root/A"]
    ]
    blind = Situation("laptop", "2026-11-30", 9, traits=RootTraits(is_case_blind=True))
    made = plan([base("f", 5, name="a")], [local("f", 5, name="a")], [remote("f", 5, name="A")], situation=blind)
    assert show(made) == [["MoveLocal f root/A"]]


def test_folders_renamed_to_one_name_are_not_merged() -> None:
    made = plan(
        [base("n1", name="a"), base("n2", name="b")],
        [local("n1", name="c"), local("n2", name="b")],
        [remote("n1", name="a"), remote("n2", name="c")],
    )
    assert show(made) == [["MoveLocal n1 root/c (1)"], ["MoveLocal n2 root/c"]]


def test_symbolic_link_keeps_its_name_and_a_node_gets_a_suffix_on_disk() -> None:
    made = plan((), [local("+1", name="x", kind="other")], [remote("x", 5)])
    assert show(made) == [["Download x root/x (1)"]]


def test_conflict_copy_gets_no_copy_of_itself() -> None:
    name = f"f{COPY}"
    made = plan([base("n", 5, name=name)], [local("n", 6, name=name)], [remote("n", 7, name=name)])
    assert show(made) == [["CopyConflict n root/f (conflict copy of laptop 2026-11-30 2)"]]


def test_executable_bit_goes_to_the_other_side() -> None:
    assert show(plan([base("f", 5)], [local("f", 5, executable=True)], [remote("f", 5)])) == [["MarkRemote f"]]
    assert show(plan([base("f", 5)], [local("f", 5)], [remote("f", 5, executable=True)])) == [["MarkLocal f"]]


def test_void_base_joins_both_sides_and_deletes_nothing() -> None:
    made = plan(
        (),
        [local("+1", name="d"), local("+2", 5, "+1", "f"), local("+3", 6, "+1", "g"), local("+4", 7, name="h")],
        [remote("d"), remote("f", 5, "d"), remote("g", 8, "d"), remote("i", 9)],
    )
    assert show(made) == [
        ["Adopt +1 as d", "Adopt +2 as f"],
        [f"CopyConflict +3 d/g{COPY}", "Download i root/i", "SendNew +4 root/h"],
    ]


def test_missing_root_plans_nothing() -> None:
    empty = Trees(ROOT, Tree([base("f", 5)]), Tree(), Tree([remote("f", 5)]), OWN)
    assert make_plan(empty, Situation("laptop", "2026-11-30", 1)).stages == ()
