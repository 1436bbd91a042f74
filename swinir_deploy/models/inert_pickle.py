"""Read a pickle as plain data: its opcodes are read, and nothing that it names is imported or run.

``torch.load`` refuses a whole file for one object that it does not know. Most such objects lie
beside the weights and are harmless: a NumPy scalar, a ``Namespace``, a configuration. Here, an
object becomes a :class:`Record` of what the pickle says about it. So a file can be searched for
weights whatever lies beside them, and the calls that it asks for can be judged
(:data:`HARMLESS_CALLS`) although none is made.
"""

from __future__ import annotations

import re
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable
from dataclasses import dataclass, field
from pickletools import genops
from typing import IO, Any

__all__ = ["External", "Name", "Pickle", "PickleDamagedError", "Record", "read_pickle"]


class PickleDamagedError(Exception):
    """The bytes are no pickle, or one that does not fit together."""


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that a pickle names, such as ``torch.FloatStorage``. Not imported."""

    path: str


@dataclass(frozen=True, slots=True)
class External:
    """An object that the pickle names by a persistent id: in checkpoints, a tensor's storage."""

    key: Any


@dataclass(eq=False, slots=True)
class Record:
    """An object as the pickle describes it.

    Attributes:
        maker: the class, or the function that would be called.
        args: the arguments for it.
        state: what ``__setstate__`` or the attributes would get; None for none.
        items: what would be stored by ``object[key] = value``.
        entries: what would be appended or added.
    """

    maker: Name
    args: tuple[Any, ...]
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    entries: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Pickle:
    """The content of a pickle.

    Attributes:
        value: what it holds: plain values and containers, :class:`Record`, :class:`Name` and
            :class:`External`.
        foreign_calls: the functions and classes that loading it would call, in the order of the
            file, without those of :data:`HARMLESS_CALLS`.
    """

    value: Any
    foreign_calls: tuple[str, ...]


HARMLESS_CALLS = re.compile(
    r"""
      builtins\.(set|frozenset|list|tuple|dict|bytearray|bytes|complex|slice|range|object
        |int|float|bool|str)
    | collections\.(OrderedDict|defaultdict|deque|Counter|ChainMap|UserDict|UserList)
    | copyreg\.(_reconstructor|__newobj__|__newobj_ex__) | _codecs\.encode
    | argparse\.Namespace | types\.(SimpleNamespace|MappingProxyType)
    | pathlib\.(_local\.)?(Pure)?(Posix|Windows)?Path | uuid\.(UUID|SafeUUID)
    | datetime\.(date|datetime|time|timedelta|timezone) | time\.struct_time
    | decimal\.Decimal | fractions\.Fraction | array\.(array|_array_reconstructor)
    | functools\.partial | _?operator\.(getitem|itemgetter|attrgetter)
    | typing\..* | re\._compile | inspect\._ParameterKind | enum\..*
    | numpy\.(_core|core)\.(multiarray|numeric)\.(_reconstruct|scalar|_frombuffer)
    | numpy\.(dtype|ndarray) | numpy\.dtypes\.\w+
    | numpy\.random\._pickle\.\w+ | numpy\.random\.(bit_generator|mtrand|_pcg64|_mt19937)\.\w+
    | torch\.(Size|device|dtype|Tensor) | torch\.torch_version\.TorchVersion
    | torch\._utils\._rebuild_\w+ | torch\._tensor\._rebuild_from_type_v2
    | torch\.storage\._load_from_bytes | torch\.serialization\._get_layout
    | torch\.nn\.parameter\.\w+ | torch\.optim\.\w+(\.\w+)* | torch\.amp\.\w+(\.\w+)*
    | omegaconf\..* | yacs\.config\.CfgNode | easydict\.EasyDict | addict\.addict\.Dict
    | mm(cv|engine)\.(utils\.)?config(\.config)?\.\w+ | ml_collections\..* | munch\.Munch
    | (lightning|lightning_fabric|pytorch_lightning)\.(\w+\.)*AttributeDict | box\.box\.Box
    """,
    re.VERBOSE,
)
"""Calls that create plain data, tensors or settings. Everything else, a loader must not run."""

_LITERALS = frozenset(
    re.findall(
        r"\S+",
        "INT LONG LONG1 LONG4 BININT BININT1 BININT2 FLOAT BINFLOAT STRING BINSTRING "
        "SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE SHORT_BINUNICODE "
        "BINUNICODE BINUNICODE8",
    )
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,
}
_IGNORED = frozenset({"PROTO", "FRAME"})
_KEY_TYPES = (str, int, float, bool, bytes, type(None), Name)


def read_pickle(stream: IO[bytes]) -> Pickle:
    """Read one pickle, up to its end.

    Args:
        stream: an object with ``read`` and ``readline``; it stands behind the pickle afterwards.

    Raises:
        PickleDamagedError: the bytes are no pickle.
    """
    machine = _Machine()
    try:
        for operation, argument, _ in genops(stream):
            if operation.name == "STOP":
                return Pickle(machine.pop(), tuple(machine.foreign_calls))
            machine.do(operation.name, argument)
    except PickleDamagedError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, AttributeError) as error:
        raise PickleDamagedError(str(error)) from error
    raise PickleDamagedError("it has no end")


class _Machine:
    """The stack machine that opcodes drive; ``pickletools`` describes each of them."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self.foreign_calls: dict[str, None] = {}

    def pop(self) -> Any:
        """Remove and return the top of the stack."""
        return self._stack.pop()

    def do(self, name: str, argument: Any) -> None:
        """Follow one opcode.

        Raises:
            PickleDamagedError: the opcode is unknown or does not fit the stack.
        """
        if name in _LITERALS:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self._stack.append(_EMPTY[name]())
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self._stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[argument])
        elif name not in _IGNORED:
            method = getattr(self, f"_{name.lower()}", None)
            if method is None:
                raise PickleDamagedError(f"its opcode {name} is not one of checkpoints")
            method(argument)

    def _to_mark(self) -> list[Any]:
        """Return what lies above the last mark, and remove it with the mark."""
        above, self._stack = self._stack, self._below.pop()
        return above

    # -------------------------------------------------------------------------- the stack itself

    def _mark(self, _: None) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _pop(self, _: None) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._to_mark()

    def _pop_mark(self, _: None) -> None:
        self._to_mark()

    def _dup(self, _: None) -> None:
        self._stack.append(self._stack[-1])

    # ------------------------------------------------------------------------------- containers

    def _list(self, _: None) -> None:
        self._stack_push(self._to_mark())

    def _frozenset(self, _: None) -> None:
        self._stack_push(self._to_mark())

    def _tuple(self, _: None) -> None:
        self._stack_push(tuple(self._to_mark()))

    def _tuple1(self, _: None) -> None:
        self._last(1)

    def _tuple2(self, _: None) -> None:
        self._last(2)

    def _tuple3(self, _: None) -> None:
        self._last(3)

    def _dict(self, _: None) -> None:
        made: dict[Any, Any] = {}
        _store(made, self._to_mark())
        self._stack_push(made)

    def _append(self, _: None) -> None:
        value = self.pop()
        _extend(self._stack[-1], [value])

    def _appends(self, _: None) -> None:
        values = self._to_mark()
        _extend(self._stack[-1], values)

    _additems = _appends

    def _setitem(self, _: None) -> None:
        value, key = self.pop(), self.pop()
        _store(self._stack[-1], [key, value])

    def _setitems(self, _: None) -> None:
        values = self._to_mark()
        _store(self._stack[-1], values)

    def _stack_push(self, value: Any) -> None:
        self._stack.append(value)

    def _last(self, count: int) -> None:
        if len(self._stack) < count:
            raise PickleDamagedError("its stack is too short")
        values = tuple(self._stack[-count:])
        del self._stack[-count:]
        self._stack.append(values)

    # ---------------------------------------------------------------------------------- objects

    def _persid(self, argument: str) -> None:
        self._stack.append(External(argument))

    def _binpersid(self, _: None) -> None:
        key = self.pop()
        # torch's old format names the class of a module so, with its source code.
        is_class = isinstance(key, tuple) and len(key) > 1 and key[0] == "module"
        self._stack.append(key[1] if is_class else External(key))

    def _global(self, argument: str) -> None:
        self._stack.append(_name(*argument.split(" ", 1)))

    def _stack_global(self, _: None) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise PickleDamagedError("it names a class by something else than text")
        self._stack.append(_name(module, name))

    def _inst(self, argument: str) -> None:
        args = tuple(self._to_mark())
        self._stack.append(self._call(_name(*argument.split(" ", 1)), args))

    def _obj(self, _: None) -> None:
        maker, *args = self._to_mark()
        self._stack.append(self._call(maker, tuple(args)))

    def _reduce(self, _: None) -> None:
        args, maker = self.pop(), self.pop()
        if not isinstance(args, tuple):
            raise PickleDamagedError("it calls something with no tuple of arguments")
        self._stack.append(self._call(maker, args))

    def _newobj(self, _: None) -> None:
        args, maker = self.pop(), self.pop()
        self._stack.append(self._bare(maker, args))

    def _newobj_ex(self, _: None) -> None:
        keywords, args, maker = self.pop(), self.pop(), self.pop()
        made = self._bare(maker, args)
        if isinstance(made, Record) and isinstance(keywords, dict):
            made.items.update(keywords)
        self._stack.append(made)

    def _build(self, _: None) -> None:
        state = self.pop()
        target = self._stack[-1]
        if isinstance(target, Record):
            target.state = state
        elif isinstance(target, Name):  # It would change a class that other code uses.
            self.foreign_calls[target.path] = None

    def _call(self, maker: Any, args: tuple[Any, ...]) -> Any:
        """Return what a call would give: plain data where it is known, else a record."""
        if not isinstance(maker, Name):
            raise PickleDamagedError("it calls something that has no name")
        if not HARMLESS_CALLS.fullmatch(maker.path):
            self.foreign_calls[maker.path] = None
        if maker.path == "copyreg._reconstructor" and args and isinstance(args[0], Name):
            return self._bare(args[0], tuple(args[2:]))
        if maker.path == "copyreg.__newobj__" and args and isinstance(args[0], Name):
            return self._bare(args[0], tuple(args[1:]))
        return (
            _plain_result(maker.path, args) if args or maker.path in _PLAIN else Record(maker, ())
        )

    def _bare(self, maker: Any, args: Any) -> Record:
        """Return an object whose class is not called: Python would only give it its state."""
        if not isinstance(maker, Name) or not isinstance(args, tuple):
            raise PickleDamagedError("it makes an object of something that is no class")
        standard = maker.path.partition(".")[0] in sys.stdlib_module_names
        if standard and not HARMLESS_CALLS.fullmatch(maker.path):
            self.foreign_calls[maker.path] = None
        return Record(maker, args)


_PLAIN = frozenset(
    re.findall(
        r"\S+",
        "builtins.set builtins.frozenset builtins.list builtins.tuple builtins.dict "
        "builtins.bytearray builtins.bytes collections.OrderedDict collections.defaultdict "
        "collections.deque collections.Counter torch.Size torch.device _codecs.encode",
    )
)


def _plain_result(path: str, args: tuple[Any, ...]) -> Any:
    """Return the container that a call of the standard library makes, else a record of the call."""
    first = args[0] if args else None
    if path in ("builtins.set", "builtins.frozenset", "builtins.list", "collections.deque"):
        return list(first) if isinstance(first, (list, tuple)) else []
    if path in ("builtins.tuple", "torch.Size"):
        return tuple(first) if isinstance(first, (list, tuple)) else ()
    if path in ("builtins.dict", "collections.OrderedDict", "collections.Counter"):
        made: dict[Any, Any] = {}
        pairs = first.items() if isinstance(first, dict) else first or ()
        for pair in pairs:
            key, value = pair
            _store(made, [key, value])
        return made
    if path == "collections.defaultdict":  # Its argument is a function, which is not needed.
        return {}
    if path == "_codecs.encode" and isinstance(first, str):
        encoding = args[1] if len(args) > 1 else "utf-8"
        if encoding in ("latin1", "latin-1", "utf-8"):
            return first.encode(encoding)
    if path in ("builtins.bytearray", "builtins.bytes") and not args:
        return b""
    if path in ("builtins.bytearray", "builtins.bytes") and isinstance(first, (bytes, str)):
        return first if isinstance(first, bytes) else first.encode("latin-1")
    if path == "torch.device":
        return str(first)
    return Record(Name(path), args)


def _name(module: str, name: str) -> Name:
    """Return a name; those of Python 2, which protocols 0 to 2 write, under their names now."""
    if (module, name) in NAME_MAPPING:
        module, name = NAME_MAPPING[module, name]
    return Name(f"{IMPORT_MAPPING.get(module, module)}.{name}")


def _store(target: Any, keys_and_values: list[Any]) -> None:
    """Store pairs, which alternate in the list, in a dictionary or a record."""
    items = target.items if isinstance(target, Record) else target
    if not isinstance(items, dict) or len(keys_and_values) % 2:
        raise PickleDamagedError("it stores an item in something that is no dictionary")
    for key, value in zip(keys_and_values[::2], keys_and_values[1::2], strict=True):
        # Other keys, such as nested tuples, cannot be those of weights; hashing them may be slow.
        items[key if isinstance(key, _KEY_TYPES) else f"<key {len(items)}>"] = value


def _extend(target: Any, values: list[Any]) -> None:
    entries = target.entries if isinstance(target, Record) else target
    if not isinstance(entries, list):
        raise PickleDamagedError("it appends to something that is no list")
    entries.extend(values)
