"""Many machines: the shards of a run computed by Ray Data actors, each with a model of its own.

Only this process writes into the run folder; the workers send their shards back as bytes. A worker
that dies is started again by Ray, and its shard with it. Needs `pip install attattr[ray]`.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

from attattr.data.examples import Example, Problem
from attattr.errors import AttAttrError, InputError
from attattr.models.identity import belongs
from attattr.runs.run import versions
from attattr.runs.shard import Shard, Work, make_shard

CPUS_EACH = 0.5  # of Ray's account: with whole ones the tasks that feed the workers may find none left
FILES = ("inputs", "edges", "heads", "scores")
NEEDED = "--engine ray needs Ray: pip install 'attattr[ray]'"


def check_installed() -> None:
    """Found out before a model is loaded."""
    if find_spec("ray") is None:
        raise InputError(NEEDED)


def ray_engine(
    model: str,
    opening: dict[str, Any],
    *,
    facts: dict[str, Any],
    address: str | None = None,
    workers: int = 2,
    num_gpus: float = 0,
) -> Callable[[list[tuple[int, int, Sequence[Example]]], Work], Iterator[tuple[int, Shard]]]:
    """An engine for `runs.attribute_data`.

    Args:
        model, opening: what `models.load` takes; every worker must find the same model under it.
        facts: of that model (`Attributor.facts`): a worker that finds another one, opens it in another
            precision, or has other versions of the libraries that a run's manifest names, fails.
        address: of a running cluster ("auto", "ray://host:10001"); None: one is started here.
        workers: actors, each holding the model.
        num_gpus: of each worker, in Ray's account; a part lets workers share one. With any, they compute
            on CUDA, wherever the model is here.

    Raises:
        InputError: Ray is not installed, no cluster answers, or it has too few GPUs.
    """
    opening = _of_workers(opening, facts, num_gpus)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InputError(NEEDED) from error

    def engine(missing: list[tuple[int, int, Sequence[Example]]], work: Work) -> Iterator[tuple[int, Shard]]:
        if not missing:
            return
        started = not ray.is_initialized()
        if started:
            _connect(ray, address, workers)
        try:
            _check_gpus(ray.cluster_resources().get("GPU", 0), num_gpus)
            items = [
                {"number": number, "first": first, "examples": [asdict(example) for example in rows]}
                for number, first, rows in missing
            ]
            tasks = ray.data.from_items(items, override_num_blocks=len(items))
            done = tasks.map_batches(
                _Worker,
                fn_constructor_args=(model, opening, asdict(work), facts, versions()),
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(size=min(workers, len(items))),
                num_cpus=CPUS_EACH,
                num_gpus=num_gpus,
                batch_format="numpy",
            )
            for batch in done.iter_batches(batch_size=1, batch_format="numpy", prefetch_batches=0):
                files = {name: bytes(batch[name][0]) for name in FILES if len(batch[name][0])}
                left_out = tuple(Problem(*each) for each in json.loads(str(batch["left_out"][0])))
                batches = json.loads(str(batch["batches"][0]))
                shard = Shard(files, int(batch["rows"][0]), float(batch["worst_gap"][0]), left_out, batches)
                yield int(batch["number"][0]), shard
        except ray.exceptions.RayError as error:
            raise AttAttrError(f"a Ray worker failed: {_reason(error)}") from error
        finally:
            if started:
                ray.shutdown()

    return engine


class _Worker:
    """One actor: the model, loaded once, and shard after shard."""

    def __init__(
        self,
        model: str,
        opening: dict[str, Any],
        work: dict[str, Any],
        facts: dict[str, Any],
        installed: dict[str, str],
    ):
        from attattr.engine.attributor import Attributor

        _check_versions(installed)
        self.attributor = Attributor.from_pretrained(model, **opening)
        found = self.attributor.facts
        belongs(facts, found, f"the run, of which {socket.gethostname()} is a worker,")
        if found["dtype"] != facts["dtype"]:
            raise InputError(
                f"the worker on {socket.gethostname()} opens the model in {found['dtype']}, the run is in "
                f"{facts['dtype']}: give the precision (--dtype)"
            )
        self.work = Work(**work)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        examples = [Example(**example) for example in batch["examples"][0]]
        shard = make_shard(self.attributor, examples, int(batch["first"][0]), self.work)
        files = {name: [shard.files.get(name, b"")] for name in FILES}
        facts = {"rows": [shard.rows], "worst_gap": [shard.worst_gap]}
        told = {"left_out": [json.dumps(shard.left_out)], "batches": [json.dumps(shard.batches)]}
        return {"number": batch["number"], **told, **facts, **files}


def _of_workers(opening: dict[str, Any], facts: dict[str, Any], num_gpus: float) -> dict[str, Any]:
    """How a worker opens the model: on the GPU that Ray shows it, in the precision that it has here.

    >>> _of_workers({"device": "cuda:3", "dtype": None}, {"dtype": "bfloat16"}, 1)
    {'device': 'cuda', 'dtype': 'bfloat16'}
    """
    if not num_gpus or opening.get("device_map") is not None:
        return opening
    kept = opening.get("dtype")
    if kept is None and opening.get("quantize") is None:
        kept = facts["dtype"]
    return opening | {"device": "cuda", "dtype": kept}


def _check_gpus(there: float, num_gpus: float) -> None:
    if there < num_gpus:
        raise InputError(
            f"the cluster has {there:g} GPUs, a worker asks for {num_gpus:g}: start machines with GPUs "
            "first, or ask for fewer (--worker-gpus)"
        )


def _check_versions(installed: dict[str, str]) -> None:
    """Results depend on these libraries, so a run is of one version of each."""
    here = versions()
    differ = [
        f"{name} {here[name]} and not {version}"
        for name, version in installed.items()
        if here[name] != version
    ]
    if differ:
        raise InputError(
            f"the worker on {socket.gethostname()} has {', '.join(differ)}: install the same there"
        )


def _connect(ray: Any, address: str | None, workers: int) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if port.isdigit():  # Ray itself tries for minutes
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise InputError(f"no Ray cluster answers at {address}: {error.strerror or error}") from error
    try:
        if address is None:
            ray.init(num_cpus=max(os.cpu_count() or 1, workers), include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(f"no Ray cluster answers at {address or 'this machine'}: {error}") from error
    ray.data.DataContext.get_current().enable_progress_bars = False


def _reason(error: BaseException) -> str:
    cause = getattr(error, "cause", None) or error
    return str(cause).strip().splitlines()[-1] if str(cause).strip() else type(cause).__name__
