"""Tells what the maker's library of the Time Tagger offers and how it refuses, as JSON; no instrument."""

import inspect
import json
import re
import sys

from Swabian import TimeTagger


def parameters(function):
    """[name, default] of each parameter; for those that only say *args, the names of the documentation."""
    found = [one for one in inspect.signature(function).parameters.values() if one.name != "self"]
    if any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in found):
        return {"documented": re.findall(r":param (\w+):", function.__doc__ or "")}
    missing = inspect.Parameter.empty
    return {"exact": [[one.name, None if one.default is missing else one.default] for one in found]}


def members(name):
    thing = getattr(TimeTagger, name)
    methods = {
        method: parameters(getattr(thing, method))
        for method in dir(thing)
        if not method.startswith("_") and inspect.isfunction(getattr(thing, method))
    }
    properties = [one for one in dir(thing) if isinstance(getattr(thing, one), property)]
    return {"made": parameters(thing.__init__), "methods": methods, "properties": properties}


def refusal(name, *arguments):
    try:
        getattr(TimeTagger, name)(*arguments)
    except Exception as error:
        return [type(error).__name__, str(error)]
    return None


classes, enumerations, refusals = json.loads(sys.argv[1])
functions = ("createTimeTagger", "createTimeTaggerNetwork", "freeTimeTagger", "scanTimeTagger")
sys.stdout.write(
    json.dumps(
        {
            "version": TimeTagger.getVersion(),
            "unused": TimeTagger.CHANNEL_UNUSED,
            "classes": {name: members(name) for name in classes},
            "functions": {name: parameters(getattr(TimeTagger, name)) for name in functions},
            "enumerations": {
                name: {key: int(value) for key, value in getattr(TimeTagger, name).__members__.items()}
                for name in enumerations
            },
            "refusals": [refusal(*call) for call in refusals],
        }
    )
)
