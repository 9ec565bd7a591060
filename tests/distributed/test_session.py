"""Work for each of many items, and what goes wrong with clusters, as one line each."""

import os
import signal
import socket
import sys
from functools import partial

import pytest

from distnorm.cli.engine import EngineOptions
from distnorm.errors import DistnormError

ray = pytest.importorskip("ray", reason="needs the extra 'ray'")
from distnorm.distributed import clusters, connected


def test_every_item_once_with_its_number_and_progress(session):
    seen = []
    items = [3, 1, 2]
    found = dict(
        session.each(items, lambda x: x * x, rows=int, progress=lambda *done: seen.append(done))
    )
    assert found == {0: 9, 1: 1, 2: 4}
    assert seen[-1] == (6, 6)
    assert len(seen) == 3
    assert list(session.each([], lambda x: x)) == []


def test_a_class_is_made_once_in_each_actor(session):
    class Counted:
        def __init__(self, start):
            self.calls, self.start = 0, start

        def __call__(self, item):
            self.calls += 1
            return self.start + item, self.calls

    found = dict(session.each([1, 2, 3], partial(Counted, 10), actors=1))
    assert {number: value for number, (value, _) in found.items()} == {0: 11, 1: 12, 2: 13}
    assert sorted(calls for _, calls in found.values()) == [1, 2, 3]


def test_shared_values_are_read_where_the_work_is(session):
    shared = session.share({"a": 1})
    assert dict(session.each([2], lambda x: x + shared.get()["a"])) == {0: 3}


def test_errors_arrive_as_themselves_and_name_the_item_or_the_package(session, capfd):
    def refuse(item):
        raise DistnormError(f"item {item}", "another", "name one")

    def burst(item):
        raise MemoryError

    def lacking(item):
        raise ModuleNotFoundError("No module named 'open_clip.x'", name="open_clip.x")

    for function, words in (
        (refuse, "got item 7; expected another; name one"),
        (burst, "part 7, for which a worker had not enough memory"),
        (lacking, "workers without the package 'open_clip'"),
    ):
        with pytest.raises(DistnormError, match=words):
            list(session.each([7], function, name=lambda item: f"part {item}"))

    class Made:
        def __call__(self, item):
            return lacking(item)

    with pytest.raises(DistnormError, match=words):
        list(session.each([7], Made, name=lambda item: f"part {item}"))
    assert "Traceback" not in "".join(capfd.readouterr())


def test_what_no_machine_has_and_another_version_are_refused(session, monkeypatch):
    with pytest.raises(DistnormError, match=r"workers of 2 GPUs .* 1 at most"):
        list(session.each([7], repr, gpus=2))
    assert dict(session.each([7], repr, gpus=1)) == {0: "7"}
    monkeypatch.setattr("distnorm.__version__", "0.0.9")
    with pytest.raises(DistnormError, match=r"on the worker .*; expected 0\.0\.9 .*==0\.0\.9"):
        list(session.each([7], repr))


def test_what_died_for_memory_names_what_was_in_hand():
    from ray.exceptions import OutOfMemoryError

    words = "got part 7, for which a worker had not enough memory"
    with pytest.raises(DistnormError, match=words), clusters.plain_ray_errors(lambda: "part 7"):
        raise OutOfMemoryError("killed")


def test_a_killed_worker_is_replaced(session, tmp_path):
    marker = str(tmp_path / "killed")

    def once(item):
        if item == 2 and not os.path.exists(marker):
            open(marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    assert dict(session.each(range(4), once)) == {i: i for i in range(4)}
    assert os.path.exists(marker)


def test_one_cluster_for_each_process(session):
    words = r"the cluster 10.0.0.1:6379 in a process that is in"
    with pytest.raises(DistnormError, match=words), connected("10.0.0.1:6379"):
        pass
    with connected() as again:
        assert not again.local
    assert ray.is_initialized()


def test_what_ray_prints_does_not_mix_with_results(session, capsys):
    with EngineOptions("ray", None).session():
        sys.stdout.write("(raylet) A worker died\n")  # as Ray does, which looks it up each time
    sys.stdout.write("{}\n")
    out, err = capsys.readouterr()
    assert (out, err) == ("{}\n", "(raylet) A worker died\n")


@pytest.mark.parametrize("address", ["nowhere", "host:port", "10.0.0.1:0", "http://127.0.0.1:8265"])
def test_addresses_that_are_none(address):
    with pytest.raises(DistnormError, match="auto, HOST:6379 or ray://HOST:10001"):
        clusters.check_there(address)


def test_a_cluster_that_is_not_there(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr(clusters, "ANSWER", 3.0)
        with pytest.raises(DistnormError, match="it does not answer as Ray does"):
            clusters.check_there(f"127.0.0.1:{port}")
    for form in ("127.0.0.1:{}", "ray://127.0.0.1:{}"):
        with pytest.raises(
            DistnormError, match=r"no Ray cluster at .*refused.*leave --address out"
        ):
            clusters.check_there(form.format(port))


def test_an_address_of_the_environment(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert "unset RAY_ADDRESS" in str(clusters.unreachable("10.0.0.1:6379", OSError()))


def test_a_cluster_that_asks_for_a_token():
    error = RuntimeError("Unauthenticated: InvalidAuthToken: token is missing or incorrect")
    line = str(clusters.unreachable("10.0.0.1:6379", error))
    assert "10.0.0.1:6379, which does not know this user's token" in line
    assert "RAY_AUTH_TOKEN_PATH" in line


def test_other_versions_and_clusters_that_do_not_start():
    error = RuntimeError("Version mismatch: The cluster was started with: Ray: 2.9.0")
    line = str(clusters.unreachable("10.0.0.1:6379", error))
    assert "of another version (Version mismatch" in line
    assert "pip install 'ray[data]==VERSION'" in line
    assert "a local Ray that does not start" in str(clusters.unreachable(None, error))
