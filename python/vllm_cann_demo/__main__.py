"""The main job: vLLM's OpenAI-compatible server on SoftNPU answers questions with a real language model.

tools/bazel run //python:demo [-- --chat | --serve | --model PATH]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from vllm_cann_demo import conversation, recall
from vllm_cann_demo.conversation import ConversationError
from vllm_cann_demo.server import KERNELS, Server, ServerError
from vllm_cann_demo.verify import WIDER, VerificationError, verify

GIB = 1 << 30
CONTEXT = 2048
"""How many tokens a conversation may have, unless the model takes fewer."""


class ModelError(ValueError):
    """A directory that is not a model. The message is one sentence."""


@dataclass(frozen=True)
class Model:
    """A directory with a model, as HF transformers writes it."""

    path: Path
    layers: int
    context: int
    """How many tokens it takes."""
    memory_gib: int
    """Device memory that is enough for it: half is for weights, cache and intermediate results."""

    @staticmethod
    def read(path: Path) -> Model:
        """Looks at the files of a model.

        Raises:
            ModelError: one is missing, or has no sense
        """
        config = path / "config.json"
        try:
            settings = json.loads(config.read_text())
            settings = settings.get("text_config", settings)
            layers, context = int(settings["num_hidden_layers"]), int(settings["max_position_embeddings"])
        except OSError as error:
            raise ModelError(f"{path} is no model: {config}: {error.strerror}") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise ModelError(f"{path} is no model: {config}: {error}") from error
        except KeyError as error:
            raise ModelError(f"{path} is no language model: {config} has no {error}") from error
        weights = sum(file.stat().st_size for file in path.glob("*.safetensors"))
        if not weights:
            raise ModelError(f"{path} is no model: it has no weights in *.safetensors")
        return Model(path, layers, context, max(1, math.ceil(4 * weights / GIB)))


def server_of(arguments: argparse.Namespace, model: Model, directory: Path) -> Server:
    """The server of a model, not yet started."""
    serve = {
        "dtype": arguments.dtype,
        "gpu-memory-utilization": 0.5,
        "max-model-len": min(CONTEXT, model.context),
        "served-model-name": model.path.name,
    }
    softnpu = {"memory": f"{model.memory_gib}GiB", "checks": arguments.checks, "trace": directory / "demo.pftrace"}
    return Server(
        model.path,
        directory,
        serve_options=[text for name, value in serve.items() for text in (f"--{name}", str(value))],
        softnpu_options=[text for name, value in softnpu.items() for text in (f"--{name}", str(value))],
        progress=lambda line: print(line, flush=True),
    )


def launch_lines(launched: Counter[str], layers: int, steps: int) -> tuple[list[str], bool]:
    """A line for each kernel, and whether the kernels of KERNELS were launched as often as they have to be.

    Args:
        launched: kernel -> launches
        layers: of the model
        steps: forward steps that were counted apart from launches
    """
    # Cache and slots are in every model, the fused norms and rotary embedding only in some.
    families = Counter({family: sum(n for name, n in launched.items() if name.startswith(family)) for family in KERNELS})
    good = steps > 0
    lines = []
    for family, each in KERNELS.items():
        share = layers if each == "layers" else 1
        if families[family] or family != "qkv_rmsnorm_rope":
            good &= families[family] == share * steps
            times = f"{layers} layers x " if each == "layers" else ""
            lines.append(f"launches of {family}: {families[family]} = {times}{families[family] / share:g} forward steps ({steps} counted)")
    others = {name: n for name, n in launched.items() if n and not name.startswith(tuple(KERNELS))}
    lines += [f"launches of {name}: {n}" for name, n in sorted(others.items())]
    return lines, good


def keep_serving(server: Server, model: str) -> None:
    """Waits until the user or the server ends it."""
    print(f"serving {model} at {server.url}/v1 (log: {server.log}); Ctrl-C ends it", flush=True)
    while True:
        time.sleep(1)
        server.check()


def run(arguments: argparse.Namespace, directory: Path) -> int:
    """Starts the server, asks, checks, prints. Returns the exit status."""
    model = Model.read(arguments.model)
    begun = time.monotonic()
    name = model.path.name
    print(f"starting vllm serve {name} on SoftNPU ...", flush=True)
    server = server_of(arguments, model, directory)
    with server:
        print(f"device: {device_line(server)}")
        print(f"start-up: {server.startup_seconds:.1f} s", flush=True)
        if arguments.serve:
            keep_serving(server, name)
        try:
            if arguments.chat:
                conversation.converse(server.url, name)
                return 0
            server.settle()
            before, steps_before = server.kernels(), server.forward_steps()
            replies, good = recall.run(server.url, name) if arguments.recall else (conversation.ask_all(server.url, name), True)
            server.settle()
        except ConversationError as error:
            time.sleep(1)  # A server that dies has ended by then.
            server.check()
            raise ConversationError(f"{error} ({server.cause()})") from error
        launched, steps = server.kernels() - before, server.forward_steps() - steps_before
        server.check()
    print()
    print(f"command to first {'answer' if arguments.recall else 'text'}: {replies.first - begun:.1f} s")
    print(f"tokens/s: {replies.tokens / replies.seconds:.1f} ({replies.tokens} tokens in {replies.seconds:.1f} s)")
    lines, counted = launch_lines(launched, model.layers, steps)
    print("\n".join(lines))
    print(f"trace: {directory / 'demo.pftrace'} (open it at ui.perfetto.dev)", flush=True)
    if not counted:
        print(f"demo: the launches are not those of {model.layers} layers and {steps} forward steps", file=sys.stderr)
    if isinstance(replies, conversation.Answers):
        verdict = verify(model.path, arguments.dtype, [(a.prompt_ids, a.token_ids) for a in replies.answers], directory)
        print(verdict, flush=True)
        if not verdict.good:
            print(f"demo: rounding to {arguments.dtype} does not explain the server's tokens", file=sys.stderr)
        good = verdict.good
    return 0 if good and counted else 1


def device_line(server: Server) -> str:
    """The device as vLLM and torch_npu named it in the server's log."""
    mark = "vllm_cann serves on "
    for line in server.log.read_text(errors="replace").splitlines():
        if mark in line:
            return line.split(mark, 1)[1]
    raise ServerError(f"the server named no device:\n{server.tail()}")


def user_path(text: str) -> Path:
    """An absolute path. A relative one starts where the user is: `bazel run` itself changes the directory."""
    return Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."), text).absolute()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__.splitlines()[0] if __doc__ else None)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--serve", action="store_true", help="keep the server for your own client instead of asking")
    what.add_argument("--chat", action="store_true", help="type your own questions")
    what.add_argument("--recall", action="store_true", help="ask the model of tests/models/recall its questions and count right answers")
    # A target of Bazel names the model by one of its files.
    built = os.environ.get("DEMO_MODEL")
    parser.add_argument(
        "--model",
        type=user_path,
        required=built is None,
        default=Path(built).absolute().parent if built else None,
        help="directory of another model, with config.json, *.safetensors and a tokenizer",
    )
    parser.add_argument("--dtype", choices=sorted(WIDER), default="bfloat16", help="type of weights and intermediate results")
    parser.add_argument("--checks", choices=("strict", "off"), default="strict", help="SoftNPU's hazard checks in kernels")
    parser.add_argument(
        "--output", type=user_path, help="directory for the log and the trace; default: a new one in the temporary directory"
    )
    return parser.parse_args(arguments)


def main() -> int:
    """Runs the command line."""
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    directory = arguments.output or Path(tempfile.mkdtemp(prefix="vllm-cann-demo-"))
    directory.mkdir(parents=True, exist_ok=True)
    try:
        return run(arguments, directory.resolve())
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except ServerError as error:
        print(f"demo: {error.sentence} (log: {directory / 'server.log'})", file=sys.stderr)
    except ConversationError as error:
        print(f"demo: {error} (log: {directory / 'server.log'})", file=sys.stderr)
    except (ModelError, VerificationError) as error:
        print(f"demo: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
