"""Table of the commands: the section of `vczoo --help` that each is in, a summary of one line, and an example."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["COMMAND_TABLE", "Described"]


class Described(NamedTuple):
    """What the help says about a command.

    Attributes:
        summary: One line of at most 61 characters, so that `vczoo --help` fits 80 columns.
        example: A command line.
    """

    summary: str
    example: str


COMMAND_TABLE: dict[str, dict[str, Described]] = {
    "Use a voice": {
        "convert": Described("Convert recordings to a voice", "vczoo convert base hello.wav --voice me.wav"),
        "voices": Described("List the voices of a run", "vczoo voices base"),
        "identify": Described("Compare a recording with each voice", "vczoo identify runs/mine who.wav"),
        "transcribe": Described("Transcribe recordings", "vczoo transcribe runs/letters who.wav"),
        "classify": Described("Classify recordings: emotion, language, …", "vczoo classify runs/emotion who.wav"),
        "provenance": Described("Show whether files are marked as synthetic", "vczoo provenance hello-as-me.wav"),
    },
    "Make a voice": {
        "demo": Described("Try everything on a recording of yours, offline", "vczoo demo me.wav"),
        "prepare": Described("Cut long recordings into clean sentences", "vczoo prepare recordings/ voices/"),
        "enroll": Described(
            "Add a voice to a run from recordings, without training", "vczoo enroll base me me.wav --out runs/me"
        ),
        "train": Described(
            "Fine-tune a recipe on recordings", "vczoo train base-partialfreeze --data voices/ --out runs/mine"
        ),
        "ui": Described("Convert, make and compare voices on a page in a browser", "vczoo ui"),
        "list": Described("List recipes and parts", "vczoo list 'wavlm*'"),
    },
    "Measure": {
        "evaluate": Described("Measure conversions", "vczoo evaluate runs/mine --trials trials.csv"),
        "results": Described("Show the figures of results files", "vczoo results results.csv"),
        "report": Described("Write a page with sounds, curves and figures", "vczoo report runs/mine"),
        "sweep": Described(
            "Train and compare many settings",
            "vczoo sweep demo --grid training.epochs=1,2 --data voices/ --out runs/sweep",
        ),
        "find-rate": Described("Suggest a learning rate", "vczoo find-rate demo --data voices/"),
    },
    "Share": {
        "push": Described(
            "Publish a run on the Hugging Face Hub",
            "vczoo push runs/mine me/alice --license cc-by-sa-4.0 --consent own-voice --dry-run",
        ),
        "pull": Described("Download a published run", "vczoo pull me/alice --out runs/alice"),
        "search": Described("Find published runs", "vczoo search alice --language en"),
        "info": Described("Describe a published run", "vczoo info me/alice"),
        "verify": Described("Check the checksums of a run", "vczoo verify runs/mine"),
    },
    "Extend": {
        "show": Described("Show a recipe, a run or a part", "vczoo show torchvision/resnet18"),
        "copy": Described("Create a recipe file to edit", "vczoo copy base-partialfreeze mine.yaml"),
        "check": Described("Check a recipe, without training", "vczoo check mine.yaml training.epochs=5"),
        "average": Described(
            "Average the weights of runs", "vczoo average base runs/mine --alpha 0.5 --out runs/between"
        ),
        "train-vocoder": Described(
            "Train only the vocoder of a recipe", "vczoo train-vocoder vocos-16khz --data voices/ --out runs/vocoder"
        ),
        "doctor": Described("Show versions, devices, caches and what is missing", "vczoo doctor"),
        "plugins": Described("List, install and uninstall plugins", "vczoo plugins install timm"),
        "plugin": Described("Create and check a plugin of your own", "vczoo plugin new my-net --kind backbone"),
    },
}
